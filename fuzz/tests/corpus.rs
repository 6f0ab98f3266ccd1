//! Every corpus file and seeded mutations of it, through the functions that libFuzzer drives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

macro_rules! targets {
    ($($name:ident: $mutations:expr,)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), fuzz::$name, $mutations);
        })*

        const TARGETS: &[&str] = &[$(stringify!($name)),*];
    };
}

// How many mutations take about a second.
targets! {
    sdp: 1000,
    dial_string: 3000,
    bfcp: 3000,
    rtp: 3000,
    rtcp: 3000,
    srtp: 3000,
    h264: 3000,
    vp8: 3000,
    sps: 3000,
    red: 3000,
    h224: 3000,
    tones: 3000,
    audio_jitter: 3000,
    video_jitter: 3000,
    audio_codecs: 3000,
    video_codecs: 1000,
    stun: 3000,
    webrtc_sdp: 3000,
    sip_framing: 3000,
    sip_message: 3000,
    sip_info: 3000,
    join_request: 3000,
}

/// xorshift64*: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }
}

/// Prints what was run when it panics: save it as a file of the corpus.
struct OnPanic<'a>(&'a [u8]);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input that panicked: \"{}\"", self.0.escape_ascii());
        }
    }
}

fn run(name: &str, target: fn(&[u8]), mutations: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(root.join("corpus").join(name))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!seeds.is_empty(), "no corpus");
    let once = |data: &[u8]| {
        let _print = OnPanic(data);
        target(data);
    };
    once(&[]);
    seeds.iter().for_each(|seed| once(seed));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..mutations {
        let mut data = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(6) {
            mutate(&mut data, &seeds, &mut dice);
        }
        once(&data);
    }
}

fn mutate(data: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(data.len() + 1);
    match dice.below(7) {
        0 => data.truncate(at),
        1 => data.insert(at, dice.roll() as u8),
        2 if data.len() < 100_000 => data.extend_from_within(at..),
        3 => data.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
        4 => data.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0),
        5 => {
            let other = &seeds[dice.below(seeds.len())];
            let start = dice.below(other.len() + 1);
            let end = start + dice.below(other.len() - start + 1);
            data.splice(at..at, other[start..end].iter().copied());
        }
        _ => data.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
    }
}

#[test]
fn every_target_has_a_shim_a_corpus_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> BTreeSet<String> {
        std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let tested: BTreeSet<String> = TARGETS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), tested);
    assert_eq!(names("corpus"), tested);
    let manifest = include_str!("../Cargo.toml");
    let bins = manifest.lines().filter(|line| line.starts_with("path = \"fuzz_targets/")).count();
    assert_eq!(bins, tested.len());
}
