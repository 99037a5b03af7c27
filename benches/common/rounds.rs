//! Interleaved rounds: contestants measured in turn, each beside the first.

/// A contestant: its name, and how it is started.
pub(crate) type Contestant<S> = (String, Box<dyn Fn() -> S>);

/// Measures all contestants, a round each in turn, and prints medians with the spread of their
/// ratios to the first.
pub(crate) fn compare<S>(
    rounds: usize,
    contestants: &[Contestant<S>],
    measure: &dyn Fn(&S) -> f64,
) {
    let mut measured = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds {
        for ((_, start), measured) in contestants.iter().zip(&mut measured) {
            let server = start();
            measured.push(measure(&server));
        }
    }
    let first = measured[0].clone();
    for ((name, _), measured) in contestants.iter().zip(&measured) {
        let ratios = measured.iter().zip(&first).map(|(own, first)| own / first);
        let [least, median, most] = spread(ratios.collect());
        let [_, figure, _] = spread(measured.clone());
        println!("  {name:20} {figure:12.1}   {median:5.2} ({least:.2} to {most:.2})");
    }
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [0, values.len() / 2, values.len() - 1].map(|index| values[index])
}
