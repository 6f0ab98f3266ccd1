//! Figures, and how they are printed.

use serde_json::{Map, Value, json};

/// One contender's results, one a round.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Each round's result, changed.
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().copied().map(change).collect())
    }

    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = sorted.get(sorted.len() / 2)?;
        let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
        Some(f64::midpoint(*lower, *upper))
    }

    pub fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    pub fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }
}

/// On which side of its target a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    AtMost,
    AtLeast,
}

/// What our result is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    Peer,
    Floor,
    /// Nothing: the target is one of our result itself.
    Target,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its number in the list of metrics, and what is measured, with its unit.
    pub metric: String,
    pub ours: Series,
    pub peer: Series,
    pub floor: Series,
    pub against: Against,
    pub target: Option<(Aim, f64)>,
    /// Why there is no result.
    pub fault: Option<String>,
}

impl Figure {
    pub fn new(metric: impl Into<String>, against: Against, target: Option<(Aim, f64)>) -> Self {
        Self {
            metric: metric.into(),
            ours: Series::default(),
            peer: Series::default(),
            floor: Series::default(),
            against,
            target,
            fault: None,
        }
    }

    /// The ratio of the medians.
    fn ratio(&self) -> Option<f64> {
        let ours = self.ours.median()?;
        match self.against {
            Against::Peer => Some(ours / self.peer.median()?),
            Against::Floor => Some(ours / self.floor.median()?),
            Against::Target => Some(ours),
        }
    }

    /// Whether there is what it was made for.
    pub fn is_complete(&self) -> bool {
        self.fault.is_none() && self.ratio().is_some()
    }

    fn json(&self) -> Value {
        let mut line = Map::new();
        line.insert("metric".into(), json!(self.metric));
        for (name, series) in self.series() {
            line.insert(name.into(), json!(series.median()));
        }
        line.insert("ratio".into(), json!(self.ratio()));
        line.insert("target".into(), json!(self.target.map(|(_, value)| value)));
        for (name, series) in self.series() {
            line.insert(format!("{name}_min"), json!(series.min()));
            line.insert(format!("{name}_max"), json!(series.max()));
        }
        Value::Object(line)
    }

    fn series(&self) -> [(&'static str, &Series); 3] {
        [("ours", &self.ours), ("peer", &self.peer), ("floor", &self.floor)]
    }
}

/// One JSON object a line.
pub fn print_json(figures: &[Figure]) {
    for figure in figures {
        println!("{}", figure.json());
        if let Some(fault) = &figure.fault {
            eprintln!("media-bench: {}: {fault}", figure.metric);
        }
    }
}

pub fn print_table(figures: &[Figure]) {
    let wide = figures.iter().map(|it| it.metric.chars().count()).max().unwrap_or_default();
    println!(
        "{:<wide$} {:>21} {:>21} {:>21} {:>7} {:>8}",
        "metric", "ours", "peer", "floor", "ratio", "target"
    );
    for figure in figures {
        let ratio = figure.ratio().map_or("-".into(), |it| format!("{it:.3}"));
        let target = figure.target.map_or("-".into(), |(aim, value)| match aim {
            Aim::AtMost => format!("≤ {value}"),
            Aim::AtLeast => format!("≥ {value}"),
        });
        let [ours, peer, floor] = figure.series().map(|(_, series)| cell(series));
        let metric = &figure.metric;
        println!("{metric:<wide$} {ours:>21} {peer:>21} {floor:>21} {ratio:>7} {target:>8}");
        if let Some(fault) = &figure.fault {
            println!("    {fault}");
        }
    }
    println!("Median (least to most) of the rounds, the first left out; ratio of the medians.");
}

fn cell(series: &Series) -> String {
    let (Some(median), Some(min), Some(max)) = (series.median(), series.min(), series.max()) else {
        return "-".into();
    };
    let number = |value: f64| match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    format!("{} ({}–{})", number(median), number(min), number(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series(values.to_vec())
    }

    #[test]
    fn the_median_of_few_and_of_none() {
        assert_eq!(series(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(series(&[]).median(), None);
    }

    #[test]
    fn a_json_line_has_its_fields_and_null_where_there_is_nothing() {
        let mut figure = Figure::new("1 x", Against::Floor, Some((Aim::AtMost, 1.5)));
        figure.ours = series(&[2.0, 4.0, 3.0]);
        assert!(!figure.is_complete());
        assert_eq!(figure.json().get("ratio"), Some(&Value::Null));
        figure.floor = series(&[2.0]);
        let line = figure.json();
        for (name, value) in [
            ("metric", json!("1 x")),
            ("ours", json!(3.0)),
            ("peer", Value::Null),
            ("floor", json!(2.0)),
            ("ratio", json!(1.5)),
            ("target", json!(1.5)),
            ("ours_min", json!(2.0)),
            ("ours_max", json!(4.0)),
        ] {
            assert_eq!(line.get(name), Some(&value), "{name}");
        }
    }
}
