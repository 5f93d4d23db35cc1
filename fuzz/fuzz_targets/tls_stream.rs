#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tlsramp::fuzzing::tls_stream(data));
