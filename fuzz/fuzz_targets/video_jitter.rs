#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::video_jitter(data));
