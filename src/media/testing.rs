//! Random frames, the same for the same seed.

use super::av1::put_leb128;
use super::h264::START_CODE;
use super::Codec;
use bytes::BytesMut;

pub(crate) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    pub fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Without zeros, which could look like a start code.
    fn nonzero(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| 1 + self.below(255) as u8).collect()
    }

    /// A frame of about this size, as an assembler gives it; only its form is right.
    pub fn frame(&mut self, codec: Codec, key: bool, size: usize) -> Vec<u8> {
        match codec {
            Codec::Opus | Codec::Vp9 => self.bytes(size.max(1)),
            Codec::Vp8 => {
                let mut frame = self.bytes(size.max(1));
                frame[0] = frame[0] & !1 | u8::from(!key);
                frame
            }
            Codec::H264 => self.access_unit(key, size),
            Codec::Av1 => self.temporal_unit(key, size),
        }
    }

    fn access_unit(&mut self, key: bool, size: usize) -> Vec<u8> {
        let mut units: Vec<(u8, usize)> = Vec::new();
        if key {
            units.extend([(0x67, 1 + self.below(30)), (0x68, 1 + self.below(8))]);
        }
        if self.below(4) == 0 {
            units.push((0x06, 1 + self.below(40)));
        }
        let slices = 1 + self.below(3);
        for _ in 0..slices {
            units.push((if key { 0x65 } else { 0x41 }, size / slices));
        }
        let mut frame = Vec::new();
        for (header, length) in units {
            frame.extend(START_CODE);
            frame.push(header);
            frame.extend(self.nonzero(length));
        }
        frame
    }

    fn temporal_unit(&mut self, key: bool, size: usize) -> Vec<u8> {
        let mut obus: Vec<(u8, usize)> = Vec::new();
        if key {
            obus.push((1, 10 + self.below(4)));
        }
        if self.below(4) == 0 {
            obus.push((5, self.below(30)));
        }
        match self.below(3) {
            0 => {
                obus.push((3, 1 + self.below(20)));
                let tiles = 1 + self.below(6);
                obus.extend((0..tiles).map(|_| (4, size / tiles)));
            }
            _ => obus.push((6, size)),
        }
        let extended = self.below(4) == 0;
        let mut frame = BytesMut::new();
        for (kind, length) in obus {
            frame.extend([kind << 3 | u8::from(extended) << 2 | 2]);
            if extended {
                frame.extend([0x08]);
            }
            put_leb128(&mut frame, length);
            frame.extend(self.bytes(length));
        }
        frame.to_vec()
    }
}
