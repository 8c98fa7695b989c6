//! The printed table of one row.

use super::programs::Program;
use super::rows::{Metric, Row};
use super::runtime::{Measured, Results};

/// Prints one line a program: medians, the spread of the first figure over the rounds, and how often ours it is.
pub(super) fn print(row: &Row, programs: &[&Program], results: &Results) {
    println!("\n{} ({})", row.title, row.name);
    print!("  {:<10}", "");
    for metric in row.metrics {
        print!(" {:>16}", metric.unit);
    }
    println!(" {:>19} {:>8}", "lowest–highest", "× ours");
    for program in programs {
        match results.0.get(&(row.name, program.name)) {
            None => {}
            Some(Measured::Not(why)) => println!("  {:<10} – {why}", program.name),
            Some(Measured::Samples(_)) => print_line(row, program.name, results),
        }
    }
}

fn print_line(row: &Row, program: &str, results: &Results) {
    print!("  {program:<10}");
    for metric in row.metrics {
        let median = results.median(row.name, program, metric.key);
        print!(
            " {:>16}",
            median.map_or_else(|| "–".to_owned(), |value| number(value, metric))
        );
    }
    let first = &row.metrics[0];
    let values = results.values(row.name, program, first.key);
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(0.0, f64::max);
    print!(
        " {:>19}",
        format!("{}–{}", number(lowest, first), number(highest, first))
    );
    println!(
        " {:>8}",
        ratio(row, program, results).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
    );
}

/// The program's first figure by ours, both medians: above one, ours is better.
pub(super) fn ratio(row: &Row, program: &str, results: &Results) -> Option<f64> {
    let key = row.metrics[0].key;
    Some(results.median(row.name, program, key)? / results.median(row.name, "ours", key)?)
}

/// The figure with its digits and a comma each three of them.
pub(super) fn number(value: f64, metric: &Metric) -> String {
    let plain = format!("{value:.*}", metric.digits);
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let metric = |digits| Metric {
            key: "k",
            unit: "u",
            digits,
        };
        assert_eq!(number(1_234_567.0, &metric(0)), "1,234,567");
        assert_eq!(number(12_345.678, &metric(1)), "12,345.7");
        assert_eq!(number(999.0, &metric(0)), "999");
        assert_eq!(number(0.5, &metric(2)), "0.50");
    }
}
