//! A run of the real binary that is killed after its n-th system call that changes a file, by ptrace.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]
#![allow(unsafe_code, reason = "ptrace is a C function")]
#![allow(clippy::zombie_processes, reason = "the tracer waits by itself")]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Kills the command after its n-th change of a file. Returns the name of that system call, or `None` if the command ended
/// before.
pub fn kill_after(arguments: &[&str], changes: u64) -> Option<&'static str> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let traced = || {
        let asked = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        if asked == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    unsafe { command.pre_exec(traced) };
    let child = command.spawn().expect("started");
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    wait(pid).expect("stopped by its exec");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options) }, 0);
    let (mut done, mut entered, mut signal, mut before) = (0, None, 0, "");
    loop {
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, signal) }, 0);
        let stop = wait(pid)?;
        signal = 0;
        if stop != libc::SIGTRAP | 0x80 {
            signal = stop;
            continue;
        }
        match entered.take() {
            None => entered = Some(change(pid)),
            Some(None) => {}
            // The pages of one file, written one after the other, are one change.
            Some(Some("pwrite")) if before == "pwrite" => {}
            Some(Some(name)) => {
                before = name;
                done += 1;
                if done == changes {
                    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
                    while wait(pid).is_some() {}
                    return Some(name);
                }
            }
        }
    }
}

/// Waits for the next stop. Returns its signal, or `None` at the end of the process.
fn wait(pid: libc::pid_t) -> Option<libc::c_int> {
    let mut status = 0;
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert_eq!(waited, pid);
    libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status))
}

/// Returns the name of the system call that the process enters, if it changes a file.
fn change(pid: libc::pid_t) -> Option<&'static str> {
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers) }, 0);
    let call = i64::try_from(registers.orig_rax).ok()?;
    let creates = registers.rdx & u64::try_from(libc::O_CREAT).expect("a flag") != 0;
    Some(match call {
        libc::SYS_openat if creates => "openat",
        libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => "rename",
        libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => "unlink",
        libc::SYS_mkdir | libc::SYS_mkdirat => "mkdir",
        libc::SYS_ftruncate => "ftruncate",
        libc::SYS_pwrite64 => "pwrite",
        libc::SYS_write => "write",
        libc::SYS_fchown | libc::SYS_fchownat | libc::SYS_chown => "chown",
        libc::SYS_fchmod | libc::SYS_fchmodat | libc::SYS_chmod => "chmod",
        _ => return None,
    })
}
