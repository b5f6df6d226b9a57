//! Population `a`, on which defaults may be tuned.

use super::{HumanParams, MachineParams, PeopleParams, PopulationParams, Programs, chrome};
use crate::load::mixed::dice::Spread;
use crate::load::mixed::headers::ClientProgram::{
    App, Chromium, Disguised, Firefox, Library, SafariDesktop, SafariPhone, WebView,
};
use crate::load::mixed::headers::DeviceSystem::{Android, Linux, MacOs, Windows};

const PHONES: Programs = &[
    (34, SafariPhone("18_1")),
    (9, SafariPhone("17_6")),
    (30, chrome(131, Android)),
    (8, chrome(130, Android)),
    (7, WebView(131, "Pixel 8")),
    (8, App("ShopApp/7.1 (iPhone; iOS 18.1)")),
    (4, App("ShopApp/7.1 (Android 14)")),
];
const COMPUTERS: Programs = &[
    (44, chrome(131, Windows)),
    (8, chrome(130, Windows)),
    (14, chrome(131, MacOs)),
    (12, Chromium(131, Windows, "Microsoft Edge")),
    (11, SafariDesktop("18.1")),
    (8, Firefox(133, Windows)),
    (3, Firefox(133, Linux)),
];
/// Computer rooms have one browser; students bring the rest.
const STUDENTS: Programs = &[
    (25, chrome(131, Windows)),
    (27, SafariPhone("18_1")),
    (20, chrome(131, Android)),
    (12, chrome(131, MacOs)),
    (8, SafariDesktop("18.1")),
    (8, Firefox(133, Windows)),
];
const FAST: Programs = &[
    (35, Disguised(124)),
    (25, Disguised(131)),
    (25, Library("python-requests/2.32.3")),
    (15, Library("Go-http-client/1.1")),
];
/// All headers of a real browser, as they were copied from it.
const COPIED: Programs = &[(50, chrome(131, Windows)), (30, chrome(131, MacOs)), (20, SafariPhone("18_1"))];

pub(super) fn params() -> PopulationParams {
    let machine = MachineParams {
        count: 200,
        per_address: 1,
        programs: COPIED,
        begins: Spread::Uniform { from: 3.0, to: 10.0 },
        interval: Spread::Uniform { from: 0.2, to: 0.45 },
        jitter: 0.03,
    };
    PopulationParams {
        salt: 0xa,
        units_percent: 40,
        people: PeopleParams {
            count: 2_400,
            behind_nat: 0.6,
            nat_sizes: (40, 400),
            phones: PHONES,
            computers: COMPUTERS,
        },
        campuses: 2,
        students_each: 1_300,
        student_programs: STUDENTS,
        human: HumanParams {
            early: Spread::Uniform { from: 3.0, to: 11.0 },
            waits: 0.55,
            reaction: Spread::LogNormal { median: 1.1, sigma: 0.7 },
            late: Spread::Exponential { least: 0.5, mean: 14.0 },
            think: Spread::LogNormal { median: 3.0, sigma: 0.6 },
            form: Spread::LogNormal { median: 6.0, sigma: 0.5 },
            reads: (1, 4),
            tries: (1, 7),
            looks_again: 0.4,
            impatient: 0.15,
            by_timer: 0.005,
            unread: 0.02,
            private: 0.02,
            roaming: 0.005,
            instant_form: 0.02,
        },
        fast: MachineParams {
            count: 1_200,
            per_address: 200,
            programs: FAST,
            interval: Spread::Uniform { from: 0.4, to: 1.0 },
            jitter: 0.02,
            ..machine
        },
        reading: MachineParams { count: 60, ..machine },
        distributed: machine,
        patient: 150,
        patient_programs: COPIED,
    }
}
