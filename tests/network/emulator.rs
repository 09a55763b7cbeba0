//! The emulator and the checks are held to what they are for: without these, the other scenarios prove little.

use super::link::{End, Link, Way};
use super::messages::{make, Ledger, Verdict};
use super::namespace::Namespace;
use super::path::{Conditions, Path};
use super::scenario::{Figures, Kind, Scenario};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// For a datagram that does come, on a busy machine.
const COMES: Duration = Duration::from_secs(5);

pub fn scenarios() -> Vec<Scenario> {
    let scenario = |name: &str, run: fn() -> Figures| Scenario::new(Kind::Emulator, name, 1, run);
    vec![
        scenario("loss, jitter and delay in virtual time", fates),
        scenario("a narrow link and its queue in virtual time", narrow),
        scenario("a seed repeats itself", repeats),
        scenario("two namespaces over TUN devices", namespaces),
        scenario("the check of messages", messages),
    ]
}

/// Offers so many packets, each `pause` after the one before, and gives when each came.
fn play(conditions: Conditions, seed: u64, packets: u32, pause: Duration) -> (Vec<(u32, Duration)>, Path) {
    let mut path = Path::new(conditions, seed);
    let begin = Instant::now();
    for number in 0..packets {
        let mut packet = vec![0; 1000];
        packet[..4].copy_from_slice(&number.to_be_bytes());
        path.offer(begin + pause * number, &packet);
    }
    let mut came = Vec::new();
    while let Some(due) = path.next_due() {
        let packet = path.take(due).unwrap();
        came.push((u32::from_be_bytes(packet[..4].try_into().unwrap()), due - begin));
    }
    (came, path)
}

fn fates() -> Figures {
    let conditions = Conditions { loss: 0.2, jitter: MS * 30, ..Conditions::delayed(50) };
    let (came, path) = play(conditions, 1, 1000, MS);
    assert_eq!(came.len() as u64, path.counters.carried);
    assert_eq!(path.counters.carried + path.counters.lost, 1000);
    assert!((150..250).contains(&path.counters.lost), "{:?}", path.counters);
    assert!(path.counters.overtaken > 100, "{:?}", path.counters);
    for (number, at) in came {
        let flight = at - MS * number;
        assert!((MS * 50..=MS * 80).contains(&flight), "{number}: {flight:?}");
    }
    // Nothing of that by itself.
    let (came, path) = play(Conditions::delayed(50), 1, 1000, MS);
    assert!(came.iter().map(|(number, _)| *number).eq(0..1000));
    assert_eq!((path.counters.lost, path.counters.overtaken), (0, 0));
    Figures { remark: "200 of 1,000 lost, give or take; each 50 to 80 ms late".into(), ..Figures::default() }
}

fn narrow() -> Figures {
    // 1,000 bytes take 8 ms; one comes each ms; ten can wait.
    let conditions = Conditions { rate: 1_000_000, queue: 10_000, ..Conditions::PERFECT };
    let (came, path) = play(conditions, 1, 1000, MS);
    for pair in came.windows(2) {
        assert!(pair[1].1 - pair[0].1 >= MS * 8, "{pair:?}");
    }
    let waited = came.iter().map(|(number, at)| *at - MS * *number).max().unwrap();
    assert!(waited <= MS * 80, "{waited:?}");
    assert!((860..880).contains(&path.counters.overflowed), "{:?}", path.counters);
    Figures { remark: "1 Mbit/s, and 80 ms of queue at most".into(), ..Figures::default() }
}

fn repeats() -> Figures {
    let conditions = Conditions { loss: 0.3, jitter: MS * 30, ..Conditions::PERFECT };
    let played = |seed| play(conditions, seed, 500, MS).0;
    assert_eq!(played(7), played(7));
    assert_ne!(played(7), played(8));
    Figures::default()
}

fn namespaces() -> Figures {
    let [one, other] = std::array::from_fn(|_| Namespace::new().unwrap());
    let link = Link::new(
        End { namespace: &one, device: "wire", address: "10.0.0.1/24" },
        End { namespace: &other, device: "wire", address: "10.0.0.2/24" },
        Conditions::delayed(100),
        1,
    );
    let bind = |namespace: &Namespace, address: &'static str| namespace.run(move || UdpSocket::bind(address).unwrap());
    let (here, there) = (bind(&one, "10.0.0.1:0"), bind(&other, "10.0.0.2:0"));
    here.connect(there.local_addr().unwrap()).unwrap();
    there.connect(here.local_addr().unwrap()).unwrap();
    let comes = |to: &UdpSocket, within: Duration| {
        to.set_read_timeout(Some(within)).unwrap();
        to.recv(&mut [0; 64]).is_ok()
    };
    let begun = Instant::now();
    here.send(b"ping").unwrap();
    assert!(comes(&there, COMES));
    there.send(b"pong").unwrap();
    assert!(comes(&here, COMES));
    let round_trip = begun.elapsed();
    assert!(round_trip >= MS * 200, "{round_trip:?}");
    link.change(|conditions| conditions.delay = Duration::ZERO);
    link.change_one(Way::There, |conditions| conditions.cut = true);
    here.send(b"lost").unwrap();
    there.send(b"comes").unwrap();
    assert!(comes(&here, COMES));
    assert!(!comes(&there, MS * 200), "a datagram came through a cut");
    link.cut(false);
    here.send(b"comes again").unwrap();
    assert!(comes(&there, COMES));
    let [to, back] = link.counters();
    assert_eq!((to.carried, to.cut, back.carried, back.cut), (2, 1, 2, 0));
    Figures { remark: format!("100 ms each way: {} ms there and back", round_trip.as_millis()), ..Figures::default() }
}

fn messages() -> Figures {
    let heard = |messages: &[Vec<u8>]| -> Vec<Verdict> {
        let mut ledger = Ledger::default();
        messages.iter().map(|message| ledger.take(message)).collect()
    };
    let message = |number| make(number, 100);
    let wrong = |verdicts: &[Verdict]| matches!(verdicts.last(), Some(Verdict::Wrong(_)));
    assert_eq!(heard(&[message(0), make(1, 0), make(2, 262_144)]), [0, 1, 2].map(Verdict::Next));
    assert_eq!(heard(&[message(0), message(2)]), [Verdict::Next(0), Verdict::AfterHole(2)]);
    assert_eq!(heard(&[message(1)]), [Verdict::AfterHole(1)]);
    assert!(wrong(&heard(&[message(0), message(0)])), "twice");
    assert!(wrong(&heard(&[message(0), message(2), message(1)])), "out of order");
    assert!(wrong(&heard(&[message(0)[..99].to_vec()])), "short");
    assert!(wrong(&heard(&[Vec::new()])), "empty");
    let mut damaged = message(0);
    damaged[50] ^= 1;
    assert!(wrong(&heard(&[damaged])), "damaged");
    Figures::default()
}
