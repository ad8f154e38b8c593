//! Compares string methods and random numbers with those of Python.

use dtr_text::python_random::PythonRandom;
use dtr_text::python_text::{is_space, split_words, strip};
use serde::Deserialize;
use serde_json::Value;

use crate::read_fixture;

#[derive(Deserialize)]
struct SeededDraws {
    seed: u64,
    bits: Vec<String>,
    samples: Vec<(usize, usize, Vec<usize>)>,
}

#[test]
fn random_numbers_and_samples_equal_those_of_python() {
    let rows: Vec<SeededDraws> = read_fixture("python_random");
    assert_eq!(rows.len(), 8);
    for row in rows {
        let mut random = PythonRandom::new(row.seed);
        let bits = [1, 13, 31, 32, 33, 63, 64].map(|count| random.getrandbits(count).to_string());
        assert_eq!(bits.as_slice(), row.bits, "seed {}", row.seed);
        for (size, count, sample) in row.samples {
            let drawn = random.sample(size, count).unwrap();
            assert_eq!(drawn, sample, "seed {}, {count} of {size}", row.seed);
        }
    }
}

#[test]
fn a_sample_larger_than_its_population_is_refused() {
    let error = PythonRandom::new(1).sample(3, 4).unwrap_err();
    assert!(error.to_string().starts_with("cannot draw 4 of 3 values"), "{error}");
}

#[test]
fn whitespace_and_lower_case_equal_those_of_python() {
    let mut rows: Vec<Value> = read_fixture("python_text");
    let spaces: Vec<char> = serde_json::from_value::<Vec<u32>>(rows.remove(0))
        .unwrap()
        .into_iter()
        .map(|code| char::from_u32(code).unwrap())
        .collect();
    assert_eq!(('\0'..=char::MAX).filter(|character| is_space(*character)).collect::<Vec<_>>(), spaces);
    for row in rows {
        let (text, stripped, words, lower): (String, String, Vec<String>, String) =
            serde_json::from_value(row).unwrap();
        assert_eq!(strip(&text), stripped, "{text:?}");
        assert_eq!(split_words(&text).collect::<Vec<_>>(), words, "{text:?}");
        assert_eq!(text.to_lowercase(), lower, "{text:?}");
    }
}
