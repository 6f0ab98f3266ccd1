//! H.264 sequence parameter sets (ITU-T H.264 section 7.3.2.1.1), as far as a forwarder asks.

/// Macroblocks of a side at most: 16,384 pixels.
const MAX_SIDE: u32 = 1024;

/// What a sequence parameter set says of its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`: 66 baseline, 77 main, 100 high.
    pub profile: u8,
    /// `constraint_set0_flag` in the top bit, and so on: the second byte of a `profile-level-id`.
    pub constraints: u8,
    /// `level_idc`: 31 is level 3.1.
    pub level: u8,
    /// Id, 0..=31.
    pub id: u8,
    /// Pixels across, cropped.
    pub width: u32,
    /// Pixels down, cropped.
    pub height: u32,
    /// Whether pictures or macroblocks may be interlaced.
    pub interlaced: bool,
    /// Whether pictures may come in another order than they are shown: B-frames. False where the
    /// stream itself excludes it (a baseline profile, or order type 2).
    pub may_reorder: bool,
}

impl Sps {
    /// Reads a NAL unit of type 7; `None` if it is another, cut off, or it is more than
    /// 16,384 pixels wide.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let (header, body) = nal.split_first()?;
        if super::h264::nal_type(*header) != 7 {
            return None;
        }
        let rbsp = without_emulation(body);
        let (&[profile, constraints, level], rest) = rbsp.split_first_chunk::<3>()?;
        let mut bits = Bits { data: rest, at: 0 };
        let id = u8::try_from(bits.ue()?).ok().filter(|id| *id < 32)?;
        let chroma = if has_chroma(profile) { bits.chroma()? } else { 1 };
        bits.ue()?;
        let order = bits.ue()?;
        bits.skip_order(order)?;
        bits.ue()?;
        bits.bit()?;
        let columns = bits.ue()?.checked_add(1).filter(|n| *n <= MAX_SIDE)?;
        let rows = bits.ue()?.checked_add(1).filter(|n| *n <= MAX_SIDE)?;
        let frames_only = bits.bit()?;
        if !frames_only {
            bits.bit()?;
        }
        bits.bit()?;
        let fields = if frames_only { 1 } else { 2 };
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2 * fields),
            2 => (2, fields),
            _ => (1, fields),
        };
        let (mut width, mut height) = (columns * 16, rows * 16 * fields);
        if bits.bit()? {
            let mut crop = |unit: u32| bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit);
            width = width.checked_sub(crop(unit_x)?)?;
            height = height.checked_sub(crop(unit_y)?)?;
        }
        let baseline = profile == 66;
        let may_reorder = !baseline && order != 2;
        let interlaced = !frames_only;
        Some(Self { profile, constraints, level, id, width, height, interlaced, may_reorder })
    }

    /// Whether every browser decodes it as far as the profile goes: constrained baseline (66 with
    /// `constraint_set1_flag`), and nothing that contradicts it.
    #[must_use]
    pub const fn is_constrained_baseline(&self) -> bool {
        self.profile == 66 && self.constraints & 0x40 != 0 && !self.interlaced
    }
}

/// Bytes of one parameter set that are kept at most; larger ones are ignored.
const MAX_SET: usize = 1024;
/// Sets of each kind that are kept at most. Encoders use one or two.
const MAX_SETS: usize = 16;

/// The parameter sets of one source, to be sent before every IDR picture and to every new receiver.
#[derive(Debug, Clone, Default)]
pub struct ParameterSets {
    sequence: Vec<(u32, Vec<u8>)>,
    picture: Vec<(u32, Vec<u8>)>,
}

impl ParameterSets {
    /// Knows none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a NAL unit if it is a parameter set, in place of the one with its id: from
    /// `sprop-parameter-sets`, or in band. Whether anything is new.
    pub fn learn(&mut self, nal: &[u8]) -> bool {
        let Some((header, body)) = nal.split_first().filter(|_| nal.len() <= MAX_SET) else {
            return false;
        };
        let (sets, id) = match super::h264::nal_type(*header) {
            7 => (&mut self.sequence, Sps::parse(nal).map(|sps| u32::from(sps.id))),
            8 => {
                let body = without_emulation(body);
                (&mut self.picture, Bits { data: &body, at: 0 }.ue().filter(|id| *id < 256))
            }
            _ => return false,
        };
        let Some(id) = id else { return false };
        if let Some((_, known)) = sets.iter_mut().find(|(known, _)| *known == id) {
            let is_new = known.as_slice() != nal;
            *known = nal.to_vec();
            return is_new;
        }
        if sets.len() >= MAX_SETS {
            sets.remove(0);
        }
        sets.push((id, nal.to_vec()));
        true
    }

    /// The sequence parameter set that was learnt first, parsed.
    #[must_use]
    pub fn sps(&self) -> Option<Sps> {
        self.sequence.first().and_then(|(_, nal)| Sps::parse(nal))
    }

    /// All of them, sequence parameter sets first, as NAL units.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.sequence.iter().chain(&self.picture).map(|(_, nal)| nal.as_slice())
    }

    /// All of them in Annex B, to go before an IDR picture. Empty unless both kinds are known.
    #[must_use]
    pub fn annex_b(&self) -> Vec<u8> {
        if self.sequence.is_empty() || self.picture.is_empty() {
            return Vec::new();
        }
        self.iter().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect()
    }
}

const fn has_chroma(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// Takes out the bytes that keep start codes out of a NAL unit (section 7.4.1).
fn without_emulation(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len().min(512));
    let mut zeros = 0;
    // What we read ends long before; the rest is of no use.
    for byte in body.iter().take(512) {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Exp-Golomb (section 9.1), up to 32 bits.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let mut value = 1_u32;
        for _ in 0..zeros {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value - 1)
    }

    /// The signed form (section 9.1.1).
    fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let half = (code + 1) / 2;
        i32::try_from(if code % 2 == 1 { half } else { -half }).ok()
    }

    /// `chroma_format_idc` and what the high profiles put after it.
    fn chroma(&mut self) -> Option<u32> {
        let format = self.ue().filter(|format| *format <= 3)?;
        if format == 3 {
            self.bit()?;
        }
        self.ue()?;
        self.ue()?;
        self.bit()?;
        if self.bit()? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if self.bit()? {
                    self.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(format)
    }

    fn skip_scaling_list(&mut self, size: usize) -> Option<()> {
        let (mut last, mut next) = (8_i32, 8_i32);
        for _ in 0..size {
            if next != 0 {
                next = last.wrapping_add(self.se()?) & 0xff;
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }

    fn skip_order(&mut self, order: u32) -> Option<()> {
        match order {
            0 => {
                self.ue()?;
            }
            1 => {
                self.bit()?;
                self.se()?;
                self.se()?;
                for _ in 0..self.ue().filter(|n| *n <= 255)? {
                    self.se()?;
                }
            }
            2 => {}
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    /// Level 3.1, 1280×720, order type 2.
    const BASELINE: [u8; 10] = [0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4, 0x80];
    /// As x264 writes 1920×1080 (cropped from 1088), high profile, level 4.0, order type 0.
    const HIGH: [u8; 14] =
        [0x67, 0x64, 0, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00];

    #[test]
    fn a_browsers_set_is_told_from_a_room_systems() {
        let baseline = Sps::parse(&BASELINE).unwrap();
        assert_eq!((baseline.width, baseline.height), (1280, 720));
        assert_eq!((baseline.profile, baseline.level), (66, 31));
        assert!(baseline.is_constrained_baseline() && !baseline.may_reorder);

        let high = Sps::parse(&HIGH).unwrap();
        assert_eq!((high.width, high.height), (1920, 1080));
        assert_eq!((high.profile, high.level, high.interlaced), (100, 40, false));
        assert!(!high.is_constrained_baseline() && high.may_reorder);
    }

    #[test]
    fn sets_are_kept_by_id_and_replaced_and_bounded() {
        let mut sets = ParameterSets::new();
        assert!(sets.learn(&BASELINE) && !sets.learn(&BASELINE));
        assert!(sets.annex_b().is_empty(), "without a picture set it is of no use");
        assert!(sets.learn(&[0x68, 0xce, 0x38, 0x80]));
        assert!(sets.learn(&HIGH), "id 0 again");
        let expected = [&[0, 0, 0, 1], &HIGH[..], &[0, 0, 0, 1], &[0x68, 0xce, 0x38, 0x80]];
        assert_eq!(sets.annex_b(), expected.concat());
        assert_eq!(sets.sps().map(|sps| sps.width), Some(1920));
        assert!(!sets.learn(&[0x65, 1, 2]) && !sets.learn(&[0x68; 2000]));
        for id in 1_u8..=250 {
            // Exp-Golomb of up to 15 bits.
            let code = (u32::from(id) + 1) << (17 - (7 - (id + 1).leading_zeros()));
            sets.learn(&[0x68, (code >> 16) as u8, (code >> 8) as u8, code as u8]);
        }
        assert!(sets.iter().count() <= 2 * MAX_SETS);
    }

    #[test]
    fn what_is_cut_off_or_another_unit_is_none() {
        for cut in 0..8 {
            assert_eq!(Sps::parse(&BASELINE[..cut]), None, "{cut} bytes");
        }
        assert_eq!(Sps::parse(&[0x68, 0x42, 0xc0, 0x1f, 0xda]), None);
    }

    #[test]
    fn mutated_sets_never_panic_and_stay_within_the_size() {
        let mut rng = Rng::new(7);
        for round in 0..200_000 {
            let mut data = if round % 2 == 0 { BASELINE.to_vec() } else { HIGH.to_vec() };
            rng.mutate(&mut data);
            let _ = ParameterSets::new().learn(&data);
            if let Some(sps) = Sps::parse(&data) {
                assert!(sps.width <= 16_384 && sps.height <= 32_768);
            }
        }
    }
}
