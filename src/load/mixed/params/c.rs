//! Population `c`: for evaluation only, after a rule was made that population `b` had shown to be missing. Nothing was tuned on
//! it.

use super::{HumanParams, MachineParams, PeopleParams, PopulationParams, Programs, chrome};
use crate::load::mixed::dice::Spread;
use crate::load::mixed::headers::ClientProgram::{
    App, Chromium, Disguised, Firefox, Library, SafariDesktop, SafariPhone, WebView,
};
use crate::load::mixed::headers::DeviceSystem::{Android, MacOs, Windows};

const PHONES: Programs = &[
    (22, SafariPhone("17_5")),
    (14, SafariPhone("17_4")),
    (40, chrome(126, Android)),
    (6, Chromium(126, Android, "Opera")),
    (4, Firefox(127, Android)),
    (9, WebView(126, "SM-A546B")),
    (5, App("Sneakers/12 CFNetwork/1568")),
];
const COMPUTERS: Programs = &[
    (36, chrome(126, Windows)),
    (22, Chromium(126, Windows, "Microsoft Edge")),
    (18, chrome(126, MacOs)),
    (14, SafariDesktop("17.5")),
    (10, Firefox(127, Windows)),
];
const STUDENTS: Programs = &[
    (45, Chromium(126, Windows, "Microsoft Edge")),
    (20, chrome(126, Android)),
    (20, SafariPhone("17_5")),
    (15, chrome(126, MacOs)),
];
const FAST: Programs = &[(45, Disguised(119)), (30, Library("aiohttp/3.11.11")), (25, Library("curl/8.11.1"))];
const COPIED: Programs = &[(60, chrome(126, Android)), (25, Firefox(127, Windows)), (15, SafariPhone("17_4"))];

pub(super) fn params() -> PopulationParams {
    let machine = MachineParams {
        count: 240,
        per_address: 1,
        programs: COPIED,
        begins: Spread::Weibull { scale: 6.0, shape: 2.0 },
        interval: Spread::Erlang { parts: 16, mean: 0.35 },
        jitter: 0.04,
    };
    PopulationParams {
        salt: 0xc,
        units_percent: 35,
        people: PeopleParams {
            count: 2_600,
            behind_nat: 0.5,
            nat_sizes: (20, 1_000),
            phones: PHONES,
            computers: COMPUTERS,
        },
        campuses: 3,
        students_each: 1_050,
        student_programs: STUDENTS,
        human: HumanParams {
            early: Spread::Exponential { least: 1.0, mean: 3.5 },
            waits: 0.65,
            reaction: Spread::Erlang { parts: 4, mean: 1.6 },
            late: Spread::LogNormal { median: 11.0, sigma: 0.9 },
            think: Spread::Weibull { scale: 3.6, shape: 1.7 },
            form: Spread::Erlang { parts: 5, mean: 7.0 },
            reads: (1, 3),
            tries: (2, 6),
            looks_again: 0.3,
            impatient: 0.1,
            by_timer: 0.006,
            unread: 0.015,
            private: 0.025,
            roaming: 0.01,
            instant_form: 0.05,
        },
        fast: MachineParams {
            count: 1_500,
            per_address: 150,
            programs: FAST,
            interval: Spread::Weibull { scale: 0.8, shape: 4.0 },
            jitter: 0.03,
            ..machine
        },
        reading: MachineParams { count: 70, ..machine },
        distributed: machine,
        patient: 180,
        patient_programs: COPIED,
    }
}
