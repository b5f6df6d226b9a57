//! A TCP proxy before a member of the log, whose network a test may take away: for a node, or for the other members.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// The state of the way between a node and a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Open,
    /// Nothing passes in either direction, and connections stay open, as in a network that was cut.
    Cut,
    /// What the node sends arrives, and no answer comes back.
    NoAnswers,
    /// Each piece takes 100 ms more.
    Slow,
    /// Connections end at any moment, and pieces are late.
    Lossy,
}

const WAYS: [Way; 5] = [Way::Open, Way::Cut, Way::NoAnswers, Way::Slow, Way::Lossy];

/// Of so many pieces one ends its connection, and one is late by up to [`LATE_MS`].
const LOST_ONE_IN: u64 = 60;
const LATE_ONE_IN: u64 = 15;
const LATE_MS: u64 = 300;

/// Time for which a piece waits before the state of its way is looked at again.
const LOOK: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_millis(100);

/// SplitMix64, as that of the tests' model.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub struct Proxy {
    pub address: SocketAddr,
    way: Arc<AtomicU8>,
}

impl Proxy {
    pub fn start(member: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, way) = (listener.local_addr().expect("bound"), Arc::new(AtomicU8::new(0)));
        let shared = Arc::clone(&way);
        std::thread::spawn(move || {
            for (number, node) in listener.incoming().flatten().enumerate() {
                let Ok(member) = TcpStream::connect(member) else { continue };
                // A piece waits for no other one: that would be 40 ms for each request.
                let set = node.set_nodelay(true).and_then(|()| member.set_nodelay(true));
                set.expect("set");
                for (from, to, is_answer) in [(&node, &member, false), (&member, &node, true)] {
                    let (from, to) = (from.try_clone().expect("cloned"), to.try_clone().expect("cloned"));
                    let way = Arc::clone(&shared);
                    let random = Random(2 * number as u64 + u64::from(is_answer));
                    std::thread::spawn(move || carry(from, to, is_answer, &way, random));
                }
            }
        });
        Proxy { address, way }
    }

    pub fn set(&self, way: Way) {
        let position = WAYS.iter().position(|other| *other == way).expect("one of them");
        self.way.store(u8::try_from(position).expect("few"), Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_answer: bool, way: &AtomicU8, mut random: Random) {
    let mut piece = [0; 65_536];
    'pieces: while let Ok(length @ 1..) = from.read(&mut piece) {
        loop {
            match WAYS[usize::from(way.load(Ordering::Relaxed))] {
                Way::Open => break,
                Way::Slow => {
                    std::thread::park_timeout(SLOW);
                    break;
                }
                Way::Lossy => {
                    if random.one_in(LOST_ONE_IN) {
                        break 'pieces;
                    }
                    if random.one_in(LATE_ONE_IN) {
                        std::thread::park_timeout(Duration::from_millis(random.below(LATE_MS)));
                    }
                    break;
                }
                Way::NoAnswers if !is_answer => break,
                Way::NoAnswers | Way::Cut => std::thread::park_timeout(LOOK),
            }
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Both);
    let _closed = from.shutdown(Shutdown::Both);
}
