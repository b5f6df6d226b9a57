//! A file layer under SQLite that passes everything through, counts what could fail, and lets one call fail: once, or
//! from then on. It can also be a full disk or a slow one, hold writes back, and write down what a power loss would
//! leave. It is the default of the test's process; one test uses it at a time.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]
#![allow(unsafe_code, reason = "SQLite's file layer is a table of C functions")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::ffi;

/// What is to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Nothing; calls are counted.
    Count,
    /// The n-th call, counted from 1.
    Once(u64),
    /// The n-th call and all after it.
    Forever(u64),
    /// The n-th sync, once.
    Sync(u64),
}

static CALLS: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(u64::MAX);
static LAST: AtomicU64 = AtomicU64::new(u64::MAX);
static SYNCS: AtomicU64 = AtomicU64::new(0);
static FAILING_SYNC: AtomicU64 = AtomicU64::new(u64::MAX);
static ARMED: AtomicBool = AtomicBool::new(false);
/// How far files may grow, in bytes; negative: as far as they like.
static GROWTH: AtomicI64 = AtomicI64::new(-1);
/// A write beyond that fails as one beyond a quota does, which SQLite calls an I/O error, instead of as on a full disk.
static BY_QUOTA: AtomicBool = AtomicBool::new(false);
/// How much longer a sync takes than it does anyway.
static SYNC_DELAY_US: AtomicU64 = AtomicU64::new(0);
/// Writes wait for this lock, and how many do.
static GATE: Mutex<()> = Mutex::new(());
static AT_THE_GATE: AtomicU64 = AtomicU64::new(0);

/// What SQLite did to a file: 0 is the database, 1 its log.
#[derive(Clone, Debug)]
pub enum Done {
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        size: usize,
    },
    /// What was done to the file before is on the disk.
    Sync {
        file: usize,
    },
}

static RECORDING: AtomicBool = AtomicBool::new(false);
static RECORD: Mutex<Vec<Done>> = Mutex::new(Vec::new());

fn note(done: impl FnOnce() -> Done) {
    if RECORDING.load(Ordering::SeqCst) {
        RECORD.lock().push(done());
    }
}

/// The shim, for one test at a time.
pub struct Shim(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Shim {
    pub fn take() -> Shim {
        static ONE: Mutex<()> = Mutex::new(());
        static REGISTERED: OnceLock<()> = OnceLock::new();
        let guard = ONE.lock();
        REGISTERED.get_or_init(register);
        let shim = Shim(guard);
        shim.disarm();
        shim.fill(None);
        shim
    }

    /// From now on calls are counted, and fail as planned.
    pub fn arm(&self, plan: Plan) {
        let (first, last) = match plan {
            Plan::Count | Plan::Sync(_) => (u64::MAX, u64::MAX),
            Plan::Once(n) => (n, n),
            Plan::Forever(n) => (n, u64::MAX),
        };
        let sync = if let Plan::Sync(n) = plan { n } else { u64::MAX };
        SYNCS.store(0, Ordering::SeqCst);
        FAILING_SYNC.store(sync, Ordering::SeqCst);
        CALLS.store(0, Ordering::SeqCst);
        FIRST.store(first, Ordering::SeqCst);
        LAST.store(last, Ordering::SeqCst);
        ARMED.store(true, Ordering::SeqCst);
    }

    /// Nothing fails any more; says how many calls there were.
    pub fn disarm(&self) -> u64 {
        ARMED.store(false, Ordering::SeqCst);
        CALLS.load(Ordering::SeqCst)
    }

    /// From now on everything that is done to the files is written down.
    pub fn record(&self) {
        RECORD.lock().clear();
        RECORDING.store(true, Ordering::SeqCst);
    }

    /// How much has been written down so far.
    pub fn recorded(&self) -> usize {
        RECORD.lock().len()
    }

    /// Ends the record and gives it.
    pub fn take_record(&self) -> Vec<Done> {
        RECORDING.store(false, Ordering::SeqCst);
        std::mem::take(&mut RECORD.lock())
    }

    /// The disk has room for so many bytes more (`None`: for everything).
    pub fn fill(&self, room: Option<u32>) {
        GROWTH.store(room.map_or(-1, i64::from), Ordering::SeqCst);
    }

    /// The same, with a quota as the cause.
    pub fn fill_quota(&self, room: Option<u32>) {
        BY_QUOTA.store(room.is_some(), Ordering::SeqCst);
        self.fill(room);
    }

    /// From now on each sync takes so much longer.
    pub fn delay_syncs(&self, delay: Duration) {
        SYNC_DELAY_US.store(u64::try_from(delay.as_micros()).expect("a short time"), Ordering::SeqCst);
    }

    /// Nothing is written until the guard is dropped.
    pub fn hold_writes(&self) -> MutexGuard<'static, ()> {
        GATE.lock()
    }

    /// Whether a write waits for that.
    pub fn write_is_held(&self) -> bool {
        AT_THE_GATE.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.disarm();
        self.fill_quota(None);
        self.delay_syncs(Duration::ZERO);
        drop(self.take_record());
    }
}

fn fails() -> bool {
    if !ARMED.load(Ordering::SeqCst) {
        return false;
    }
    let call = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    call >= FIRST.load(Ordering::SeqCst) && call <= LAST.load(Ordering::SeqCst)
}

struct Layer {
    real: *mut ffi::sqlite3_vfs,
}
// SAFETY: the pointer is to SQLite's own static table, which is never changed after registration.
unsafe impl Send for Layer {}
// SAFETY: as above.
unsafe impl Sync for Layer {}
static LAYER: OnceLock<Layer> = OnceLock::new();

/// The real functions and ours, of the database (0) and of its log (1): SQLite has a table for each.
struct Methods {
    real: ffi::sqlite3_io_methods,
    ours: ffi::sqlite3_io_methods,
}
// SAFETY: tables of functions.
unsafe impl Send for Methods {}
// SAFETY: as above.
unsafe impl Sync for Methods {}
static METHODS: [OnceLock<Methods>; 2] = [OnceLock::new(), OnceLock::new()];

fn real<const FILE: usize>() -> &'static ffi::sqlite3_io_methods {
    &METHODS[FILE].get().expect("a file was opened").real
}

fn register() {
    // SAFETY: the unix layer is always there; the copy lives for ever.
    unsafe {
        let real = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(LAYER.set(Layer { real }).is_ok());
        let mut copy = *real;
        copy.zName = c"shim".as_ptr();
        copy.pNext = std::ptr::null_mut();
        copy.xOpen = Some(open);
        let copy = Box::leak(Box::new(copy));
        assert_eq!(ffi::sqlite3_vfs_register(copy, 1), ffi::SQLITE_OK);
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: passed through as it came; the table of a file that was opened is SQLite's own and stays.
    unsafe {
        let layer = LAYER.get().expect("registered").real;
        let code = (*layer).xOpen.expect("unix")(layer, name, file, flags, out);
        if code == ffi::SQLITE_OK && !name.is_null() && !(*file).pMethods.is_null() {
            let is_log = CStr::from_ptr(name).to_bytes().ends_with(b"-wal");
            let real = *(*file).pMethods;
            let methods = if is_log {
                METHODS[1].get_or_init(|| Methods { real, ours: wrap::<1>(real) })
            } else if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
                METHODS[0].get_or_init(|| Methods { real, ours: wrap::<0>(real) })
            } else {
                return code;
            };
            assert_eq!(methods.real.xWrite.map(|f| f as usize), real.xWrite.map(|f| f as usize), "one table per kind");
            (*file).pMethods = &raw const methods.ours;
        }
        code
    }
}

fn wrap<const FILE: usize>(real: ffi::sqlite3_io_methods) -> ffi::sqlite3_io_methods {
    let mut ours = real;
    ours.xWrite = Some(write::<FILE>);
    ours.xSync = Some(sync::<FILE>);
    ours.xTruncate = Some(truncate::<FILE>);
    if FILE == 0 {
        ours.xShmMap = Some(shm_map);
        ours.xShmLock = Some(shm_lock);
    }
    ours
}

unsafe extern "C" fn write<const FILE: usize>(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: i64,
) -> c_int {
    if GATE.is_locked() {
        AT_THE_GATE.fetch_add(1, Ordering::SeqCst);
        drop(GATE.lock());
        AT_THE_GATE.fetch_sub(1, Ordering::SeqCst);
    }
    // SAFETY: passed through; a failing write leaves the first half, as a real one may.
    unsafe {
        let write = real::<FILE>().xWrite.expect("unix");
        if fails() {
            write(file, bytes, length / 2, at);
            return ffi::SQLITE_IOERR_WRITE;
        }
        let room = GROWTH.load(Ordering::SeqCst);
        if room >= 0 {
            let mut size = 0;
            real::<FILE>().xFileSize.expect("unix")(file, &raw mut size);
            let growth = at + i64::from(length) - size;
            if growth > 0 {
                if growth > room {
                    if BY_QUOTA.load(Ordering::SeqCst) {
                        *libc::__errno_location() = libc::EDQUOT;
                        return ffi::SQLITE_IOERR_WRITE;
                    }
                    return ffi::SQLITE_FULL;
                }
                GROWTH.fetch_sub(growth, Ordering::SeqCst);
            }
        }
        let code = write(file, bytes, length, at);
        if code == ffi::SQLITE_OK {
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(length).expect("a length"));
            note(|| Done::Write { file: FILE, at: usize::try_from(at).expect("a place"), bytes: bytes.to_vec() });
        }
        code
    }
}

/// Waits as a slow disk does: without using the core.
fn pause(microseconds: u64) {
    let (_never, nothing) = crossbeam_channel::bounded::<()>(0);
    if microseconds > 0 {
        let _elapsed = nothing.recv_timeout(Duration::from_micros(microseconds));
    }
}

unsafe extern "C" fn sync<const FILE: usize>(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let armed = ARMED.load(Ordering::SeqCst);
    let nth = armed && SYNCS.fetch_add(1, Ordering::SeqCst) + 1 == FAILING_SYNC.load(Ordering::SeqCst);
    if fails() || nth {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: passed through.
    let code = unsafe { real::<FILE>().xSync.expect("unix")(file, flags) };
    pause(SYNC_DELAY_US.load(Ordering::SeqCst));
    if code == ffi::SQLITE_OK {
        note(|| Done::Sync { file: FILE });
    }
    code
}

unsafe extern "C" fn truncate<const FILE: usize>(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    if fails() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    // SAFETY: passed through.
    let code = unsafe { real::<FILE>().xTruncate.expect("unix")(file, size) };
    if code == ffi::SQLITE_OK {
        note(|| Done::Truncate { file: FILE, size: usize::try_from(size).expect("a size") });
    }
    code
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    if fails() {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    // SAFETY: passed through.
    unsafe { real::<0>().xShmMap.expect("unix")(file, region, size, extend, out) }
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // Letting go of a lock never fails; only taking one is a call that can.
    if flags & ffi::SQLITE_SHM_LOCK != 0 && fails() {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    // SAFETY: passed through.
    unsafe { real::<0>().xShmLock.expect("unix")(file, offset, count, flags) }
}
