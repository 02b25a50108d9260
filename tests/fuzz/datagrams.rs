//! Datagrams of X-Ray SDKs: what is taken out of one is what was put into it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ingest::datagram::{Dropped, Framed, open};
use model::{DocumentLimits, Segment};
use otlp::Encoding;
use serde_json::Value;

use crate::bytes::Vocabulary;
use crate::engine::{Plain, Target, class, fuzz, size};
use crate::{documents, seeds, spans};

#[test]
fn datagrams() {
    let mut inputs = seeds::lines("datagrams.txt");
    for input in &mut inputs {
        // Lines of the file stand for datagrams, in which a tab stands for the end of a line.
        for byte in input {
            if *byte == b'\t' {
                *byte = b'\n';
            }
        }
    }
    for recording in seeds::recorded("udp-datagrams") {
        for datagram in recording.as_array().into_iter().flatten() {
            inputs.extend(datagram.as_str().map(|text| text.as_bytes().to_vec()));
        }
    }
    fuzz(&Target {
        name: "datagrams",
        seeds: inputs,
        vocabulary: VOCABULARY,
        form: &Plain,
        bytes_max: 65_507,
        attempt: &attempt,
    });
}

fn attempt(input: &[u8]) -> u64 {
    let opened = open(input);
    let Some(newline) = input.iter().position(|byte| *byte == b'\n') else {
        assert_eq!(opened, Err(Dropped::NoHeader));
        return class("one line");
    };
    let (header, payload) = (&input[..newline], input[newline..].trim_ascii());
    let framed = match opened {
        Ok(framed) => framed,
        Err(dropped) => {
            assert!(Dropped::ALL.contains(&dropped));
            return class(dropped);
        }
    };
    check_header(header);
    match framed {
        Framed::Document(document) => {
            assert_eq!(document.as_bytes(), payload);
            let code = Segment::parse(document, &DocumentLimits::default());
            class(code.err().map(|invalid| invalid.code))
        }
        Framed::Spans { protobuf, sampled } => {
            let (prefix, base64) = payload.split_at(3);
            assert_eq!(prefix, if sampled { b"T1S" } else { b"T1U" });
            let base64 = str::from_utf8(base64).unwrap().trim_end_matches('=');
            assert_eq!(STANDARD_NO_PAD.encode(&protobuf), base64);
            let request = otlp::decode(&protobuf, Encoding::Protobuf);
            let of_request = request.ok().map(|request| spans::class_of(&request));
            class((sampled, size(protobuf.len()), of_request))
        }
    }
}

fn check_header(header: &[u8]) {
    let header: Value = serde_json::from_slice(header).unwrap();
    assert_eq!(header["version"], 1);
    let format = header["format"].as_str().unwrap();
    assert!(format.eq_ignore_ascii_case("json"));
}

const VOCABULARY: Vocabulary = Vocabulary {
    words: &[
        b"{\"format\":\"json\",\"version\":1}\n",
        b"{\"format\": \"json\", \"version\": 1}",
        b"\"format\":\"JSON\",",
        b"\"version\":1.0",
        b"\"version\":1,",
        b"\n",
        b"\r\n",
        b"\0",
        b"T1S",
        b"T1U",
        b"=",
        b"==",
        b"CgA=",
        b"+/",
        b"-_",
        b"{}",
        b"[]",
        b"\xff",
    ],
    brackets: documents::VOCABULARY.brackets,
};
