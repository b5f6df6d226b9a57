//! A mount namespace of its own for a test, so that it can mount what it needs.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::print_stdout, reason = "the test says what it tried")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::path::Path;
use std::process::Command;

/// Runs a test again in a mount namespace of its own. Returns true if it is in one. The test may lie in a module.
pub fn in_a_namespace(test: &str, way: &str) -> bool {
    const INSIDE: &str = "FIRSTCOME_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let this = std::env::current_exe().expect("a path");
    let of_module = format!("::{test}");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let test = if thread.ends_with(&of_module) { thread } else { test };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(this).args(["--exact", test, "--nocapture"]);
    match command.env(INSIDE, "1").output() {
        Ok(ran) if String::from_utf8_lossy(&ran.stderr).contains("unshare failed") => {
            let why = String::from_utf8_lossy(&ran.stderr);
            println!("skipped, no mount namespace here ({}): {way} is not run", why.trim());
        }
        Ok(ran) => {
            let has_run = String::from_utf8_lossy(&ran.stdout).contains("test result: ok. 1 passed");
            assert!(ran.status.success() && has_run, "{test}: {ran:?}");
        }
        Err(error) => println!("skipped, unshare cannot be run ({error}): {way} is not run"),
    }
    false
}

pub fn mount_over(from: &Path, to: &Path) {
    let mounted = Command::new("mount").arg("--bind").arg(from).arg(to).status().expect("run");
    assert!(mounted.success());
}

/// Mounts an empty disk of so many bytes.
pub fn mount_disk(at: &Path, bytes: u64) {
    let size = format!("size={bytes}");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status().expect("run");
    assert!(mounted.success());
}
