//! The real binary as a process of its own, and a client that keeps its connection.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};

/// A server of its own; killed if a test ends early.
pub struct Process {
    child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub wire: SocketAddr,
}

impl Process {
    /// Starts `serve` on port 0 and waits until it is ready.
    pub fn start(data: &Path, environment: &[(&str, String)]) -> Process {
        Process::start_saying(data, environment, Stdio::inherit())
    }

    /// The same, with its log elsewhere.
    pub fn start_saying(data: &Path, environment: &[(&str, String)], log: Stdio) -> Process {
        Process::start_through(Command::new(env!("CARGO_BIN_EXE_firstcome")), data, environment, log)
    }

    /// The same, by a command that becomes the program.
    pub fn start_through(command: Command, data: &Path, environment: &[(&str, String)], log: Stdio) -> Process {
        let started = Process::start_or_end(command, data, environment, log);
        started.unwrap_or_else(|status| panic!("the server ended before it told where clients connect: {status}"))
    }

    /// The same; the status of one that has ended instead.
    pub fn start_or_end(
        mut command: Command,
        data: &Path,
        environment: &[(&str, String)],
        log: Stdio,
    ) -> Result<Process, ExitStatus> {
        let listen = ["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--wire", "127.0.0.1:0"];
        command.arg("serve").arg("--data").arg(data).args(listen);
        command
            .env("FIRSTCOME__LOG__LEVEL", "error")
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut address = |word: &str| -> Option<SocketAddr> {
            let line = lines.find_map(|line| line.ok().filter(|line| line.trim_start().starts_with(word)))?;
            let (_, after) = line.split_once("//").expect("a URL");
            Some(after.split('/').next().expect("a host").parse().expect("an address"))
        };
        let found = [address("buyers"), address("operators"), address("wire")];
        let [Some(public), Some(admin), Some(wire)] = found else { return Err(child.wait().expect("ended")) };
        // What else it says must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Process { child, public, admin, wire })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("our own process");
    }

    /// Stops the process, as a paused machine would, until `meanwhile` is done.
    pub fn stand_still(&self, meanwhile: impl FnOnce()) {
        self.signal(Signal::STOP);
        let status = format!("/proc/{}/status", self.child.id());
        wait_until("the process stands still", || {
            std::fs::read_to_string(&status).expect("our own process").contains("State:\tT")
        });
        meanwhile();
        self.signal(Signal::CONT);
    }

    /// Removes a directory while the process stands still: a server that looks in between makes a file for its copy there.
    pub fn remove_directory(&self, directory: &Path) {
        self.stand_still(|| std::fs::remove_dir_all(directory).expect("removed"));
    }

    /// Open descriptors of the process.
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("our own process");
        open.count()
    }

    /// Resident memory of the process, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("our own process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// From now on it may have so many descriptors open.
    pub fn limit_descriptors(&self, max: usize) {
        let max = Some(u64::try_from(max).expect("few"));
        let limit = Rlimit { current: max, maximum: max };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("our own process");
    }

    /// From now on it can open nothing. Returns the limit before.
    pub fn use_up_descriptors(&self) -> Rlimit {
        let open: Vec<u64> = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("our own process")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        let free = (0..).find(|number| !open.contains(number)).expect("some number");
        let before = rustix::process::getrlimit(Resource::Nofile);
        let limit = Rlimit { current: Some(free), maximum: before.maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("our own process")
    }

    /// From now on it may open files again.
    pub fn allow_descriptors(&self, limit: Rlimit) {
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("our own process");
    }

    /// From now on no file of it may grow beyond so many bytes: a write there fails.
    pub fn limit_file_size(&self, max: u64) {
        let limit = Rlimit { current: Some(max), maximum: Some(max) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).expect("our own process");
    }

    /// From now on its files may grow again.
    pub fn unlimit_file_size(&self) {
        let limit = Rlimit { current: None, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).expect("our own process");
    }

    /// kill -9, and the end of it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("ended");
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("our own process") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    pub fn create_drop(&self, total: u32) {
        let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": total,
            "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400 });
        let mut client = Client::connect(self.admin).expect("connected");
        let answer = client.post("/v1/drops", "create", &drop).expect("answered");
        assert_eq!(answer.status, 201, "{:?}", answer.body);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Waits for what must come.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

/// A place where the server stops (feature `failpoints`, `src/failpoints.rs`), to be killed there.
pub struct Pause(std::path::PathBuf);

impl Pause {
    pub fn new(scratch: &Path) -> Pause {
        Pause(scratch.to_path_buf())
    }

    /// The environment of a server that stops when it comes to this place for so many times.
    pub fn at(&self, place: &str, times: u64) -> Vec<(&'static str, String)> {
        self.at_each(&[(place, times)])
    }

    /// The same, at several places.
    pub fn at_each(&self, places: &[(&str, u64)]) -> Vec<(&'static str, String)> {
        let directory = self.0.to_str().expect("a path").to_string();
        let places: Vec<String> = places.iter().map(|(place, times)| format!("{place}:{times}")).collect();
        vec![("FIRSTCOME_PAUSE", places.join(",")), ("FIRSTCOME_PAUSE_DIR", directory)]
    }

    /// Waits until it has stopped.
    pub fn wait(&self) {
        wait_until("the server stops at its place", || self.is_reached());
    }

    /// Waits until it has stopped, and returns true; false if the process has ended instead, as one that hangs is made to.
    pub fn comes(&self, child: &mut Child) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.is_reached() {
                return true;
            }
            if child.try_wait().expect("our own process").is_some() {
                return false;
            }
            if Instant::now() >= deadline {
                child.kill().expect("our own process");
            }
            std::thread::park_timeout(Duration::from_micros(500));
        }
    }

    fn is_reached(&self) -> bool {
        std::fs::remove_file(self.0.join("paused")).is_ok()
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        std::fs::write(self.0.join("go-on"), "").expect("written");
    }
}

/// There is no whole answer: the connection broke.
#[derive(Debug)]
pub struct Broken;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|h| h.1)
    }

    pub fn is_repeat(&self) -> bool {
        self.header("Idempotent-Replayed") == Some("true")
    }
}

pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Client, Broken> {
        Client::connect_patiently(address, Duration::from_secs(20))
    }

    /// The same, with the longest wait for an answer.
    pub fn connect_patiently(address: SocketAddr, wait: Duration) -> Result<Client, Broken> {
        let stream = TcpStream::connect(address).map_err(|_| Broken)?;
        stream.set_read_timeout(Some(wait)).map_err(|_| Broken)?;
        stream.set_nodelay(true).map_err(|_| Broken)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub fn get(&mut self, path: &str) -> Result<Answer, Broken> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        self.receive()
    }

    pub fn post(&mut self, path: &str, key: &str, body: &Value) -> Result<Answer, Broken> {
        let body = body.to_string();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))?;
        self.receive()
    }

    /// Orders one unit of drop 1; the buyer's name is the key too.
    pub fn order(&mut self, buyer: &str) -> Result<Answer, Broken> {
        self.post("/v1/drops/1/orders", buyer, &json!({ "buyer": buyer, "quantity": 1 }))
    }

    pub fn send(&mut self, text: &str) -> Result<(), Broken> {
        self.stream.get_mut().write_all(text.as_bytes()).map_err(|_| Broken)
    }

    pub fn receive(&mut self) -> Result<Answer, Broken> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).map_err(|_| Broken)? == 0 {
                return Err(Broken);
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Broken)?;
        let mut answer = Answer { status, head, body: Value::Null };
        let length = answer.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0u8; length];
        self.stream.read_exact(&mut body).map_err(|_| Broken)?;
        answer.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(answer)
    }

    /// Reads until the server ends the connection.
    pub fn read_to_end(&mut self) -> String {
        let mut text = Vec::new();
        let _reset_is_an_end_too = self.stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}
