//! Population `b`: for evaluation only. No weight, threshold or limit was tuned on it.

use super::{HumanParams, MachineParams, PeopleParams, PopulationParams, Programs, chrome};
use crate::load::mixed::dice::Spread;
use crate::load::mixed::headers::ClientProgram::{
    App, Chromium, Disguised, Firefox, Library, SafariDesktop, SafariPhone, WebView,
};
use crate::load::mixed::headers::DeviceSystem::{Android, MacOs, Windows};

const PHONES: Programs = &[
    (22, SafariPhone("18_3")),
    (14, SafariPhone("18_2")),
    (40, chrome(133, Android)),
    (6, Chromium(133, Android, "Microsoft Edge")),
    (4, Firefox(135, Android)),
    (9, WebView(133, "SM-S921B")),
    (5, App("Boutique/3.0 okhttp/4.12")),
];
const COMPUTERS: Programs = &[
    (36, chrome(133, Windows)),
    (22, Chromium(133, Windows, "Microsoft Edge")),
    (18, chrome(133, MacOs)),
    (14, SafariDesktop("18.3")),
    (10, Firefox(135, Windows)),
];
const STUDENTS: Programs = &[
    (45, Chromium(133, Windows, "Microsoft Edge")),
    (20, chrome(133, Android)),
    (20, SafariPhone("18_3")),
    (15, chrome(133, MacOs)),
];
const FAST: Programs = &[(45, Disguised(128)), (30, Library("axios/1.7.9")), (25, Library("okhttp/4.12.0"))];
const COPIED: Programs = &[(60, chrome(133, Android)), (25, Firefox(135, Windows)), (15, SafariPhone("18_2"))];

pub(super) fn params() -> PopulationParams {
    let machine = MachineParams {
        count: 260,
        per_address: 1,
        programs: COPIED,
        begins: Spread::Erlang { parts: 4, mean: 5.0 },
        interval: Spread::LogNormal { median: 0.3, sigma: 0.25 },
        jitter: 0.05,
    };
    PopulationParams {
        salt: 0xb,
        units_percent: 30,
        people: PeopleParams {
            count: 2_000,
            behind_nat: 0.75,
            nat_sizes: (100, 700),
            phones: PHONES,
            computers: COMPUTERS,
        },
        campuses: 1,
        students_each: 2_200,
        student_programs: STUDENTS,
        human: HumanParams {
            early: Spread::Erlang { parts: 3, mean: 5.0 },
            waits: 0.4,
            reaction: Spread::Weibull { scale: 1.8, shape: 1.6 },
            late: Spread::Weibull { scale: 18.0, shape: 0.9 },
            think: Spread::Erlang { parts: 3, mean: 4.0 },
            form: Spread::Weibull { scale: 8.0, shape: 1.8 },
            reads: (1, 6),
            tries: (1, 9),
            looks_again: 0.55,
            impatient: 0.25,
            by_timer: 0.004,
            unread: 0.03,
            private: 0.03,
            roaming: 0.008,
            instant_form: 0.03,
        },
        fast: MachineParams {
            count: 1_000,
            per_address: 320,
            programs: FAST,
            interval: Spread::Erlang { parts: 12, mean: 0.6 },
            jitter: 0.01,
            ..machine
        },
        reading: MachineParams { count: 50, ..machine },
        distributed: machine,
        patient: 120,
        patient_programs: COPIED,
    }
}
