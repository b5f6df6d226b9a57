//! The end after a fault of the storage: at once, without closing the database, because a close may write.

/// Ends the process without running anything more: no destructor, no handler, no flush.
pub fn at_once(exit_code: u8) -> ! {
    #[expect(unsafe_code, reason = "the one way out that runs nothing; it takes a number and cannot fail")]
    unsafe {
        libc::_exit(i32::from(exit_code))
    }
}
