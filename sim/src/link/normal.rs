//! Quantiles of the normal distribution.
//!
//! Source: M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution",
//! Applied Statistics 37 (1988), routine PPND16: about 16 digits.

/// The value below which the standard normal distribution stays with this probability, which is
/// between 0 and 1.
pub(super) fn normal_quantile(probability: f64) -> f64 {
    let offset = probability - 0.5;
    if offset.abs() <= CENTRE_WIDTH {
        let r = CENTRE_WIDTH * CENTRE_WIDTH - offset * offset;
        return offset * polynomial(&CENTRE_OVER, r) / polynomial(&CENTRE_UNDER, r);
    }
    let tail = probability.min(1.0 - probability);
    let r = libm::sqrt(-libm::log(tail));
    let far = if r <= 5.0 {
        polynomial(&NEAR_OVER, r - 1.6) / polynomial(&NEAR_UNDER, r - 1.6)
    } else {
        polynomial(&FAR_OVER, r - 5.0) / polynomial(&FAR_UNDER, r - 5.0)
    };
    if offset < 0.0 { -far } else { far }
}

/// Written out term by term: `mul_add` rounds differently where a machine has it.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    let terms = coefficients.iter().rev();
    terms.fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// How far from the middle the first formula holds.
const CENTRE_WIDTH: f64 = 0.425;

/// Numerator and denominator for the middle, from the lowest power on.
const CENTRE_OVER: [f64; 8] = [
    3.387_132_872_796_366_5,
    133.141_667_891_784_38,
    1_971.590_950_306_551_3,
    13_731.693_765_509_46,
    45_921.953_931_549_87,
    67_265.770_927_008_7,
    33_430.575_583_588_13,
    2_509.080_928_730_122_7,
];
const CENTRE_UNDER: [f64; 8] = [
    1.0,
    42.313_330_701_600_91,
    687.187_007_492_057_9,
    5_394.196_021_424_751,
    21_213.794_301_586_597,
    39_307.895_800_092_71,
    28_729.085_735_721_943,
    5_226.495_278_852_854,
];
/// For tails down to about 1e-11.
const NEAR_OVER: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    0.241_780_725_177_450_6,
    0.022_723_844_989_269_184,
    0.000_774_545_014_278_341_4,
];
const NEAR_UNDER: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    0.689_767_334_985_1,
    0.148_103_976_427_480_08,
    0.015_198_666_563_616_457,
    0.000_547_593_808_499_534_5,
    1.0507500716444169e-09,
];
/// For what is beyond.
const FAR_OVER: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    0.296_560_571_828_504_87,
    0.026_532_189_526_576_124,
    0.001_242_660_947_388_078_4,
    2.7115555687434876e-05,
    2.0103343992922881e-07,
];
const FAR_UNDER: [f64; 8] = [
    1.0,
    0.599_832_206_555_888,
    0.136_929_880_922_735_8,
    0.014_875_361_290_850_615,
    0.000_786_869_131_145_613_3,
    1.8463183175100548e-05,
    1.421511758316446e-07,
    2.0442631033899397e-15,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // The last two are the algorithm's own test values, to their 16 digits.
        for (probability, quantile) in [
            (0.5, 0.0),
            (0.841_344_746_068_543, 1.0),
            (0.975, 1.959_963_984_540_054),
            (0.25, -0.674_489_750_196_081_7),
            (0.001, -3.090_232_306_167_814),
            (1e-20, -9.262_340_089_798_408),
        ] {
            let found = normal_quantile(probability);
            assert!(
                (found - quantile).abs() < 1e-12,
                "{probability}: {found} instead of {quantile}"
            );
        }
    }

    #[test]
    fn a_lower_probability_is_a_lower_value() {
        let all = (1..100_000).map(|step| normal_quantile(f64::from(step) / 100_000.0));
        assert!(all.is_sorted());
    }
}
