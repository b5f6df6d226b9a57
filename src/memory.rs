//! Memory of the process that is not needed any more.

/// Gives freed memory back to the operating system. For the end of work that needed much of it once: a start, a verification.
///
/// The allocator would do it by itself when it frees a page a second later, but an idle server frees none. It takes some 50 ms for
/// 300 MB, so nothing that clients wait for calls it. Without mimalloc it does nothing.
pub fn give_back() {
    #[cfg(feature = "mimalloc")]
    #[expect(
        unsafe_code,
        reason = "mimalloc's crate has no call for it; it takes a flag and may run on any thread at any time"
    )]
    unsafe {
        mi_collect(true);
    }
}

/// The crate that links the allocator.
#[cfg(feature = "mimalloc")]
use mimalloc as _;

#[cfg(feature = "mimalloc")]
#[expect(unsafe_code, reason = "as mimalloc.h declares it")]
unsafe extern "C" {
    fn mi_collect(force: bool);
}
