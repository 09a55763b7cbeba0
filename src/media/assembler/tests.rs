use super::*;
use crate::media::testing::Random;
use crate::media::{vpx, MAX_FRAME};

const WAIT: Duration = Duration::from_millis(100);

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

/// Packets of VP8 frames, the first of which is a key frame.
struct Sender {
    sequence: u16,
    timestamp: u32,
}

impl Sender {
    fn new() -> Self {
        Self { sequence: 100, timestamp: 1_000 }
    }

    /// A frame of that many packets, of bytes that tell which it is.
    fn frame(&mut self, packets: usize) -> (Vec<u8>, Vec<Packet>) {
        self.timestamp = self.timestamp.wrapping_add(3_000);
        let mut frame = vec![(self.timestamp / 3_000) as u8; packets * 10];
        frame[0] = u8::from(self.sequence != 100);
        (frame.clone(), self.packets(&frame))
    }

    fn packets(&mut self, frame: &[u8]) -> Vec<Packet> {
        let mut packets: Vec<_> =
            vpx::write_vp8(frame, 7, 14).into_iter().map(|payload| self.packet(payload)).collect();
        if let Some(last) = packets.last_mut() {
            last.marker = true;
        }
        packets
    }

    fn packet(&mut self, payload: Bytes) -> Packet {
        let packet = Packet { sequence: self.sequence, timestamp: self.timestamp, marker: false, payload };
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

fn assembler() -> Assembler {
    Assembler::new(Codec::Vp8, WAIT)
}

fn push(assembler: &mut Assembler, now: Instant, packets: impl IntoIterator<Item = Packet>) {
    packets.into_iter().for_each(|packet| assembler.push(now, packet));
}

/// The frames that come out, and whether something is missing before each.
fn pop(assembler: &mut Assembler, now: Instant) -> Vec<(Vec<u8>, bool)> {
    std::iter::from_fn(|| assembler.pop(now)).map(|frame| (frame.data.to_vec(), frame.gap)).collect()
}

fn copy(packet: &Packet) -> Packet {
    Packet { payload: packet.payload.clone(), ..*packet }
}

#[test]
fn a_frame_comes_out_with_its_last_packet() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    for number in 0..5 {
        let (frame, mut packets) = sender.frame(1 + number);
        let last = packets.pop();
        push(&mut assembler, now, packets);
        assert_eq!(pop(&mut assembler, now), []);
        push(&mut assembler, now, last);
        let timestamp = sender.timestamp;
        let expected = Assembled { data: frame[..].into(), timestamp, key: number == 0, gap: false };
        assert_eq!(assembler.pop(now), Some(expected));
        assert_eq!((assembler.pop(now), assembler.deadline()), (None, None));
    }
    assert!(!assembler.wants_key_frame() && !assembler.needs_key_frame());
}

#[test]
fn packets_in_any_order_make_the_same_frames() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    let (first, packets) = sender.frame(4);
    push(&mut assembler, now, packets.into_iter().rev());
    assert_eq!(pop(&mut assembler, now), [(first, false)]);
    let (second, packets) = sender.frame(3);
    let (third, more) = sender.frame(3);
    push(&mut assembler, now, more.into_iter().rev());
    assert_eq!(pop(&mut assembler, now), []);
    push(&mut assembler, now, packets.into_iter().rev());
    assert_eq!(pop(&mut assembler, now), [(second, false), (third, false)]);
    assert_eq!((assembler.lost, assembler.late, assembler.duplicate), (0, 0, 0));
}

#[test]
fn what_comes_twice_is_taken_once() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    let (first, packets) = sender.frame(3);
    push(&mut assembler, now, packets.iter().flat_map(|packet| [copy(packet), copy(packet)]));
    assert_eq!(pop(&mut assembler, now), [(first, false)]);
    push(&mut assembler, now, packets);
    assert_eq!(pop(&mut assembler, now), []);
    assert_eq!((assembler.lost, assembler.late, assembler.duplicate), (0, 0, 6));
}

#[test]
fn numbers_wrap() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    sender.timestamp = u32::MAX - 10_000;
    push(&mut assembler, now, sender.frame(1).1);
    for _ in 0..30_000 {
        let (frame, mut packets) = sender.frame(3);
        packets.swap(0, 2);
        push(&mut assembler, now, packets);
        pop(&mut assembler, now).iter().filter(|(data, _)| *data != frame).for_each(|(data, _)| assert_eq!(data[0], 0));
    }
    assert_eq!((assembler.lost, assembler.late, assembler.duplicate), (0, 0, 0));
}

#[test]
fn a_hole_is_filled_in_time() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    let (first, mut packets) = sender.frame(3);
    let (second, more) = sender.frame(1);
    let missing = packets.remove(1);
    push(&mut assembler, start, packets);
    assert_eq!(assembler.pop(start), None);
    assert_eq!(assembler.deadline(), Some(start + WAIT));
    push(&mut assembler, after(start, 50), more);
    assert_eq!(pop(&mut assembler, after(start, 99)), []);
    // The wait is for the hole and not for each that comes behind it.
    assert_eq!(assembler.deadline(), Some(start + WAIT));
    push(&mut assembler, after(start, 99), [missing]);
    assert_eq!(pop(&mut assembler, after(start, 99)), [(first, false), (second, false)]);
    assert_eq!((assembler.deadline(), assembler.lost), (None, 0));
    assert!(!assembler.wants_key_frame());
}

#[test]
fn a_hole_that_stays_costs_its_frame_and_is_told() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    push(&mut assembler, start, sender.frame(1).1);
    assert_eq!(pop(&mut assembler, start).len(), 1);
    let (_, mut packets) = sender.frame(3);
    let missing = packets.remove(1);
    let (second, more) = sender.frame(2);
    push(&mut assembler, start, packets);
    push(&mut assembler, after(start, 30), more);
    assert_eq!(pop(&mut assembler, after(start, 30)), []);
    assert!(!assembler.wants_key_frame());
    // Not decodable, and delivered: some decoders make something of it.
    assert_eq!(pop(&mut assembler, start + WAIT), [(second, true)]);
    assert!(assembler.wants_key_frame() && !assembler.wants_key_frame());
    let (third, packets) = sender.frame(2);
    push(&mut assembler, start + WAIT, packets);
    assert_eq!(pop(&mut assembler, start + WAIT), [(third, false)]);
    // One loss is asked for once, until a key frame heals it.
    assert!(!assembler.wants_key_frame() && assembler.needs_key_frame());
    push(&mut assembler, start + WAIT, [missing]);
    assert_eq!((assembler.lost, assembler.late, assembler.duplicate), (1, 1, 0));
    sender.timestamp += 3_000;
    let packets = sender.packets(&[0; 20]);
    push(&mut assembler, start + WAIT, packets);
    assert_eq!(pop(&mut assembler, start + WAIT), [(vec![0; 20], false)]);
    assert!(!assembler.needs_key_frame());
}

/// The last packet and its marker are lost, or there never was one.
#[test]
fn a_frame_ends_without_its_marker() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    let (first, mut packets) = sender.frame(3);
    packets[2].marker = false;
    push(&mut assembler, start, packets);
    assert_eq!(pop(&mut assembler, start), []);
    let (_, mut packets) = sender.frame(3);
    packets.remove(2);
    push(&mut assembler, start, packets);
    assert_eq!(pop(&mut assembler, start), [(first, false)]);
    let (third, packets) = sender.frame(3);
    push(&mut assembler, start, packets);
    assert_eq!(pop(&mut assembler, start), []);
    // Whether what is lost was of the second frame or of the third: the third says where it begins.
    assert_eq!(pop(&mut assembler, start + WAIT), [(third, true)]);
}

#[test]
fn the_first_packet_of_a_frame_is_missed() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    push(&mut assembler, start, sender.frame(1).1);
    let (_, mut packets) = sender.frame(3);
    packets.remove(0);
    push(&mut assembler, start, packets);
    let (third, packets) = sender.frame(1);
    push(&mut assembler, start, packets);
    assert_eq!(pop(&mut assembler, start).len(), 1);
    assert_eq!(pop(&mut assembler, start + WAIT), [(third, true)]);
}

/// What is left of it when the loss is told is no loss of its own.
#[test]
fn a_frame_is_lost_once() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    let (_, mut packets) = sender.frame(4);
    packets.remove(1);
    let last = packets.pop();
    push(&mut assembler, start, packets);
    assert_eq!(pop(&mut assembler, start + WAIT), []);
    assert!(assembler.wants_key_frame());
    push(&mut assembler, start + WAIT, last);
    assert_eq!(pop(&mut assembler, start + WAIT), []);
    assert!(!assembler.wants_key_frame() && assembler.needs_key_frame());
    // The next one is.
    sender.sequence += 1;
    push(&mut assembler, start + WAIT, sender.frame(1).1);
    assert_eq!(pop(&mut assembler, start + 2 * WAIT).len(), 1);
    assert!(assembler.wants_key_frame());
}

#[test]
fn padding_is_nothing() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    let mut packets = Vec::new();
    let mut frames = Vec::new();
    for number in 0..4 {
        let (frame, more) = sender.frame(2);
        packets.extend(more);
        packets.extend((0..number).map(|_| sender.packet(Bytes::new())));
        frames.push((frame, false));
    }
    // Also in the middle of a frame, and as the first that comes.
    packets[1].sequence += 1;
    packets[1].marker = false;
    packets.iter_mut().skip(2).for_each(|packet| packet.sequence += 1);
    packets.insert(1, Packet { sequence: 101, timestamp: 0, marker: false, payload: Bytes::new() });
    packets.insert(0, Packet { sequence: 99, timestamp: 0, marker: false, payload: Bytes::new() });
    push(&mut assembler, now, packets);
    assert_eq!(pop(&mut assembler, now), frames);
    assert_eq!((assembler.deadline(), assembler.lost), (None, 0));
}

#[test]
fn a_sender_begins_anew() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    push(&mut assembler, now, sender.frame(2).1);
    assert_eq!(pop(&mut assembler, now).len(), 1);
    // A packet of another stream is none of a new one.
    push(&mut assembler, now, [Packet { sequence: 30_000, timestamp: 5, marker: true, payload: Bytes::new() }]);
    let (second, packets) = sender.frame(2);
    push(&mut assembler, now, packets);
    assert_eq!(pop(&mut assembler, now), [(second, false)]);
    // Something was under way.
    push(&mut assembler, now, sender.frame(3).1.into_iter().skip(1));
    sender.sequence = 50_000;
    let (third, packets) = sender.frame(3);
    push(&mut assembler, now, packets);
    assert_eq!(pop(&mut assembler, now), [(third, true)]);
    assert!(assembler.wants_key_frame());
}

#[test]
fn a_stream_is_joined_in_the_middle() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    sender.sequence += 1;
    let (_, packets) = sender.frame(3);
    push(&mut assembler, start, packets.into_iter().skip(1));
    // The first packet may still come.
    assert_eq!(pop(&mut assembler, start), []);
    assert_eq!(assembler.deadline(), Some(start + WAIT));
    let (second, packets) = sender.frame(2);
    push(&mut assembler, start, packets);
    assert_eq!(pop(&mut assembler, start + WAIT), [(second, true)]);
    assert!(assembler.wants_key_frame() && !assembler.wants_key_frame());
    assert_eq!(assembler.lost, 0);
}

#[test]
fn a_stream_that_begins_without_a_key_frame_has_a_gap_and_needs_one() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    sender.sequence += 1;
    for begins in [true, false] {
        let (frame, packets) = sender.frame(3);
        push(&mut assembler, now, packets);
        assert_eq!(pop(&mut assembler, now), [(frame, begins)]);
    }
    assert!(assembler.wants_key_frame() && !assembler.wants_key_frame());
}

/// A payload of H.264 seldom says that a frame begins with it.
#[test]
fn a_frame_begins_where_another_has_ended() {
    let (mut assembler, start) = (Assembler::new(Codec::H264, WAIT), Instant::now());
    let packet = |sequence, timestamp, marker, payload: &'static [u8]| Packet {
        sequence,
        timestamp,
        marker,
        payload: Bytes::from_static(payload),
    };
    // Parameters are a beginning, at the first and after a loss.
    push(&mut assembler, start, [packet(1, 1, false, b"\x67a"), packet(2, 1, true, b"\x65b")]);
    assert_eq!(pop(&mut assembler, start), [(b"\0\0\0\x01\x67a\0\0\0\x01\x65b".to_vec(), false)]);
    push(&mut assembler, start, [packet(4, 3, true, b"\x41c"), packet(5, 4, true, b"\x41d")]);
    // The third packet may have been of the same frame as the fourth.
    assert_eq!(pop(&mut assembler, start + WAIT), [(b"\0\0\0\x01\x41d".to_vec(), true)]);
    push(&mut assembler, start, [packet(7, 6, false, b"\x67e"), packet(8, 6, true, b"\x65f")]);
    assert_eq!(pop(&mut assembler, start + WAIT), [(b"\0\0\0\x01\x67e\0\0\0\x01\x65f".to_vec(), true)]);
    // Not if more of the same frame came before.
    push(
        &mut assembler,
        start,
        [packet(9, 7, false, b"\x67g"), packet(11, 7, false, b"\x67h"), packet(12, 7, true, b"\x65i")],
    );
    push(&mut assembler, start, [packet(13, 8, true, b"\x41j")]);
    assert_eq!(pop(&mut assembler, start + WAIT), [(b"\0\0\0\x01\x41j".to_vec(), true)]);
}

#[test]
fn audio_goes_on_after_a_loss() {
    let (mut assembler, start) = (Assembler::new(Codec::Opus, WAIT), Instant::now());
    let packet = |sequence: u16| Packet {
        sequence,
        timestamp: 960 * u32::from(sequence),
        marker: sequence == 1,
        payload: vec![sequence as u8; 60].into(),
    };
    let expected = |sequence: u16, gap| Assembled {
        data: vec![sequence as u8; 60][..].into(),
        timestamp: 960 * u32::from(sequence),
        key: true,
        gap,
    };
    push(&mut assembler, start, [1, 2, 4, 5].map(packet));
    assert_eq!([assembler.pop(start), assembler.pop(start)], [1, 2].map(|number| Some(expected(number, false))));
    assert_eq!(assembler.pop(start), None);
    let late = assembler.deadline().unwrap();
    assert_eq!([assembler.pop(late), assembler.pop(late)], [Some(expected(4, true)), Some(expected(5, false))]);
    assert!(!assembler.wants_key_frame() && !assembler.needs_key_frame());
}

#[test]
fn what_is_no_payload_spoils_its_frame_only() {
    let (mut sender, mut assembler, now) = (Sender::new(), assembler(), Instant::now());
    push(&mut assembler, now, sender.frame(2).1);
    let (_, mut packets) = sender.frame(3);
    packets[1].payload = Bytes::from_static(b"\x90");
    push(&mut assembler, now, packets);
    let (third, packets) = sender.frame(2);
    push(&mut assembler, now, packets);
    let frames = pop(&mut assembler, now);
    assert_eq!((frames.len(), &frames[1]), (2, &(third, true)));
    assert!(assembler.wants_key_frame() && !assembler.wants_key_frame());
}

#[test]
fn what_waits_is_bounded() {
    let start = Instant::now();
    for (size, packets) in [(10, 3_000), (60_000, 1_000), (1_000_000, 64)] {
        // A hole at the beginning, and nobody who pops.
        let (mut sender, mut assembler) = (Sender::new(), assembler());
        push(&mut assembler, start, sender.frame(1).1);
        sender.sequence += 1;
        for number in 0..packets {
            let mut payload = vec![1; size];
            payload[0] = if number % 100 == 0 { 0x10 } else { 0 };
            if number % 100 == 0 {
                sender.timestamp += 3_000;
            }
            let packet = sender.packet(payload.into());
            push(&mut assembler, start, [packet]);
            assert!(assembler.queue.len() <= MAX_WAITING);
            assert!(assembler.queue.bytes() + assembler.size_in_hand() <= MAX_BYTES);
            assert!(assembler.size_in_hand() <= MAX_FRAME);
        }
        assert_eq!(assembler.lost, 1);
        assert!(assembler.wants_key_frame());
        // What goes first is the oldest.
        let last = pop(&mut assembler, start);
        let (frame, packets) = sender.frame(1);
        push(&mut assembler, start, packets);
        let newest = pop(&mut assembler, start);
        assert_eq!(newest.last().map(|(data, _)| data), Some(&frame), "{} before", last.len());
    }
}

/// Many holes, and each of them waited for.
#[test]
fn holes_without_end_are_bounded() {
    let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
    for number in 0..100_000 {
        let now = start + Duration::from_micros(number * 10);
        push(&mut assembler, now, sender.frame(1).1);
        sender.sequence = sender.sequence.wrapping_add(1);
        pop(&mut assembler, now);
        assert!(assembler.queue.len() <= MAX_WAITING && assembler.given_up.len() <= MAX_GIVEN_UP);
    }
}

/// Whatever is lost, comes twice or in another order: what is delivered was sent, in that order, and each gap is told.
#[test]
fn delivered_frames_are_sent_ones() {
    for seed in 1..=200 {
        let mut random = Random(seed);
        let (loss, twice) = (random.below(10), random.below(10));
        let (mut sender, mut assembler, start) = (Sender::new(), assembler(), Instant::now());
        let (mut sent, mut arrivals) = (Vec::new(), Vec::new());
        for number in 0..300u64 {
            let key = number == 0 || random.below(30) == 0;
            let size = 1 + random.below(100);
            let frame = random.frame(Codec::Vp8, key, size);
            sender.timestamp = sender.timestamp.wrapping_add(3_000);
            let packets = sender.packets(&frame);
            sent.push((sender.timestamp, frame, key));
            for packet in packets {
                for _ in 0..1 + usize::from(random.below(100) < twice) {
                    if random.below(100) >= loss {
                        arrivals.push((after(start, number * 10 + random.below(30) as u64), copy(&packet)));
                    }
                }
            }
        }
        arrivals.sort_by_key(|(time, _)| *time);
        let mut delivered = Vec::new();
        for (time, packet) in arrivals {
            while let Some(deadline) = assembler.deadline().filter(|deadline| *deadline <= time) {
                delivered.extend(std::iter::from_fn(|| assembler.pop(deadline)));
            }
            assembler.push(time, packet);
            delivered.extend(std::iter::from_fn(|| assembler.pop(time)));
        }
        let mut next = 0;
        for (number, frame) in delivered.iter().enumerate() {
            let skipped =
                sent[next..].iter().position(|(timestamp, ..)| *timestamp == frame.timestamp).expect("in order");
            let (_, data, key) = &sent[next + skipped];
            assert!(frame.data == data[..] && frame.key == *key, "seed {seed}");
            // The very first may have been missed without anybody knowing of them.
            assert!(frame.gap || skipped == 0 || number == 0, "seed {seed}: frame {number}");
            let begins = number == 0 && !frame.key;
            assert!(loss > 0 || frame.gap == begins, "seed {seed}: frame {number}");
            next += skipped + 1;
        }
        assert!(delivered.len() > if loss == 0 { 298 } else { 100 }, "seed {seed}: {}", delivered.len());
    }
}
