//! Tests of every mixer inside a decoder, and of files that hold the weights of bases and twins.

use burn::tensor::{DType, Device, Tensor};

use super::*;
use crate::testing::{decoder, twins, twins_with_random_convolutions, variants};

fn tokens(rows: usize, time: usize) -> Vec<Vec<u32>> {
    (0..rows).map(|row| (0..time).map(|at| ((7 * row + 3 * at + at * at) % 50) as u32).collect()).collect()
}

fn difference(a: &Tensor<3>, b: &Tensor<3>) -> f32 {
    (a.clone() - b.clone()).abs().max().into_scalar()
}

/// Calls `check` with three bases. For each base and each variant, also calls `check` with two hybrids: one
/// replaces every layer, and one replaces only the middle layer.
fn for_each_model(check: impl Fn(&str, &Hybrid<'_>)) {
    for (bias, norm) in [(false, false), (true, false), (false, true)] {
        let base = decoder(bias, norm);
        check("base", &Hybrid::from_base(&base));
        for variant in variants() {
            let twins = twins_with_random_convolutions(&variant, &base);
            let all: Mask = (0..3).collect();
            check(&format!("{variant:?}"), &Hybrid::new(&base, &twins, &all));
            check(&format!("middle {variant:?}"), &Hybrid::new(&base, &twins, &Mask::empty().with_layer(1)));
        }
    }
}

#[test]
fn decoding_token_by_token_equals_one_prefill() {
    for_each_model(|name, model| {
        let ids = tokens(2, 70);
        let whole = model.forward_hidden(&ids, None, None);
        let mut state = DecoderState::new(3);
        let prefix: Vec<Vec<u32>> = ids.iter().map(|row| row[..65].to_vec()).collect();
        let mut parts = vec![model.forward_hidden(&prefix, None, Some(&mut state))];
        for at in 65..70 {
            let token: Vec<Vec<u32>> = ids.iter().map(|row| vec![row[at]]).collect();
            parts.push(model.forward_hidden(&token, None, Some(&mut state)));
        }
        let error = difference(&Tensor::cat(parts, 1), &whole);
        assert!(error < 1e-4, "{name}: {error}");
    });
}

#[test]
fn a_split_prefill_equals_one_prefill() {
    for_each_model(|name, model| {
        let ids = tokens(2, 90);
        let whole = model.forward_hidden(&ids, None, None);
        let mut state = DecoderState::new(3);
        let parts = [0..3, 3..66, 66..90].map(|range| {
            let piece: Vec<Vec<u32>> = ids.iter().map(|row| row[range.clone()].to_vec()).collect();
            model.forward_hidden(&piece, None, Some(&mut state))
        });
        let error = difference(&Tensor::cat(parts.to_vec(), 1), &whole);
        assert!(error < 1e-4, "{name}: {error}");
    });
}

#[test]
fn left_padding_and_other_rows_have_no_effect() {
    for_each_model(|name, model| {
        let long = tokens(1, 40).remove(0);
        let short: Vec<u32> = long[..27].to_vec();
        let alone = model.forward_hidden(std::slice::from_ref(&short), None, None);
        let mut padded = vec![49; 13];
        padded.extend(&short);
        let batch = model.forward_hidden(&[padded, long], Some(&[13, 0]), None);
        let error = difference(&batch.narrow(0, 0, 1).narrow(1, 13, 27), &alone);
        assert!(error < 1e-4, "{name}: {error}");
    });
}

#[test]
fn later_tokens_have_no_effect_on_earlier_outputs() {
    for_each_model(|name, model| {
        let mut ids = tokens(1, 70);
        let before = model.forward_hidden(&ids, None, None).narrow(1, 0, 50);
        ids[0][60] = 1;
        ids[0][50] = 2;
        let after = model.forward_hidden(&ids, None, None).narrow(1, 0, 50);
        assert!(difference(&after, &before) < 1e-5, "{name}");
    });
}

#[test]
fn a_kv_cache_grows_and_a_recurrent_state_does_not() {
    let base = decoder(false, false);
    let twins = twins(&variants()[1], &base);
    let bytes = |model: &Hybrid<'_>, time: usize| {
        let mut state = DecoderState::new(3);
        model.forward_hidden(&tokens(1, time), None, Some(&mut state));
        state.num_bytes()
    };
    let linear = Hybrid::new(&base, &twins, &(0..3).collect());
    assert_eq!(bytes(&linear, 10), bytes(&linear, 100));
    assert_eq!(bytes(&linear, 10).cache, 0);
    // The cache holds keys and values for 3 layers and 2 heads of width 8, with 4 bytes for each element.
    let cache = |time: u64| StateBytes { cache: 2 * 3 * 2 * 8 * 4 * time, recurrent: 0 };
    assert_eq!([10, 100].map(|time| bytes(&Hybrid::from_base(&base), time)), [cache(10), cache(100)]);
}

#[test]
fn a_written_base_reads_back_with_bf16_weights() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = decoder(false, false);
    let tokenizer = crate::testing::bundled_tokenizer();
    write_base_model(&mut base, &tokenizer, folder.path()).unwrap();
    let read = BaseModel::read(folder.path(), &Device::flex()).unwrap();
    assert_eq!(read.decoder.config, base.config);
    let error = difference(
        &Hybrid::from_base(&read.decoder).forward_hidden(&tokens(1, 9), None, None),
        &Hybrid::from_base(&base).forward_hidden(&tokens(1, 9), None, None),
    );
    assert!(error > 0.0 && error < 0.05, "{error}");
}

#[test]
fn a_file_with_a_missing_or_surplus_or_misshapen_tensor_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twins.safetensors");
    let base = decoder(false, false);
    let read = |tensors: &NamedTensors| {
        tensors.save(&path).unwrap();
        let mut checkpoint = SafetensorsReader::open(std::slice::from_ref(&path), &Device::flex()).unwrap();
        Twins::new(&variants()[0], &base, &mut checkpoint).and_then(|_| checkpoint.ensure_all_read())
    };
    let whole = || NamedTensors::from_module(&mut twins(&variants()[0], &base));
    assert!(read(&whole()).is_ok());
    let mut surplus = whole();
    surplus.insert("layers.0.stranger", vec![1], vec![0.0]);
    assert!(format!("{:?}", read(&surplus).unwrap_err()).contains("layers.0.stranger"));
    let mut misshapen = whole();
    misshapen.insert("layers.1.q_proj.weight", vec![1], vec![0.0]);
    assert!(format!("{:?}", read(&misshapen).unwrap_err()).contains("is [1], not ["));
    let other = NamedTensors::from_module(&mut twins(&variants()[1], &base));
    assert!(read(&other).is_err(), "twins of another variant were accepted");
}

#[test]
fn a_copied_twin_starts_from_the_bases_projections() {
    let base = decoder(true, true);
    for variant in variants() {
        let mut twins = twins(&variant, &base);
        let mut copied = 0;
        let mut base_layer = base.attention(2).clone();
        let mut base_params = std::collections::BTreeMap::new();
        base_layer.visit(&mut |name, param| {
            base_params.insert(name.to_owned(), param.flat().to_data());
        });
        twins.layers[2].visit(&mut |name, param| {
            if let Some(original) = base_params.get(name) {
                assert_eq!(&param.flat().to_data(), original, "{name}");
                copied += 1;
            }
        });
        // q, k, v and o, three biases and two norms. A portable twin has neither biases nor norms.
        let expected = if variant.geometry.portable.is_some() { 4 } else { 9 };
        assert_eq!(copied, expected, "{variant:?}");
    }
}

#[test]
fn the_jet_generator_can_learn() {
    let base = decoder(false, false);
    let jet = &variants()[3];
    let twin = twins(jet, &base).layers.remove(0);
    let tracked = AutodiffCopy::new(&twin, DType::F32);
    let pass = ForwardContext::new(&base.config, 1, 9, 0, None, &base.device()).autodiff();
    let x = base.embed(token_tensor(&tokens(1, 9), &base.device())).mul_scalar(50.0).autodiff();
    let loss = tracked.0.forward(x, &pass, None).square().mean();
    let mut names = Vec::new();
    twin.clone().visit(&mut |name, _| names.push(name.to_owned()));
    let gradients = tracked.gradients(&loss);
    let size = |expected: &str| {
        let at = names.iter().position(|name| name == expected).unwrap();
        gradients[at].clone().abs().max().into_scalar::<f32>()
    };
    assert!(size("dynamic_conv1d.w2.weight") > 0.0, "the second layer got no gradient");
}

#[test]
fn parameter_counts_match_the_parameters() {
    for (bias, norm) in [(false, false), (true, false), (false, true)] {
        let mut base = decoder(bias, norm);
        assert_eq!(base.config.num_parameters(), count_parameters(&mut base));
        for variant in variants() {
            let each = Mixer::num_twin_parameters(&variant, &base.config);
            assert_eq!(3 * each, count_parameters(&mut twins(&variant, &base)), "{variant:?}");
        }
    }
}

#[test]
fn absent_options_of_a_geometry_are_not_written() {
    let text = serde_json::to_string(&GeometryConfig::default()).unwrap();
    assert_eq!(text, r#"{"rope":false,"output-gate":true}"#);
    let portable: GeometryConfig = serde_json::from_str(r#"{"portable":"qwen3_5"}"#).unwrap();
    assert_eq!(portable.portable, Some(PortableFormat::Qwen35));
}

#[test]
fn options_of_a_geometry_override_the_base() {
    let base = decoder(true, true);
    let names = |geometry: GeometryConfig| {
        let variant = TwinVariant { geometry, ..variants()[1].clone() };
        let mut names = Vec::new();
        twins(&variant, &base).layers[0].visit(&mut |name, _| names.push(name.to_owned()));
        let has = |part: &str| names.iter().any(|name| name == part);
        [has("q_proj.bias"), has("q_norm.weight")]
    };
    let geometry = |qkv_bias, qk_norm| GeometryConfig { qkv_bias, qk_norm, ..GeometryConfig::default() };
    assert_eq!(names(geometry(None, None)), [true, true]);
    assert_eq!(names(geometry(Some(false), None)), [false, true]);
    assert_eq!(names(geometry(None, Some(false))), [true, false]);
}
