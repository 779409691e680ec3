//! The sentences for more than two targets: in which order they come, and whether the first differs from the second.
//!
//! A table of pairs says the same of every two (`analyze compare --matrix`); a sentence names who leads, and by how much, and claims
//! no more than the repeats allow.

use std::collections::BTreeMap;

use super::super::figures::{Figures, Row, StepFigures};
use super::super::format::{self, estimate};
use super::super::main_rows;
use super::super::metric::{Better, Metric};
use super::super::text::Text;
use super::{SAME_PERCENT, VerdictLine, WHOLE_PERCENT, line};
use crate::stats::{Contrast, Estimate, Verdict};
use crate::text;

/// On how many of the main figures each target leads.
pub(super) fn difference(figures: &Figures) -> VerdictLine {
    let rows: Vec<_> =
        main_rows(figures).into_iter().filter(|(_, row)| row.metric.better() != Better::Neither).collect();
    let (mut leads, mut level, mut void) = (BTreeMap::<usize, usize>::new(), 0, 0);
    for (_, row) in &rows {
        match Order::of(row) {
            None => void += 1,
            Some(order) if order.is_clear() => *leads.entry(order.known[0].0).or_default() += 1,
            Some(_) => level += 1,
        }
    }
    let part = |(target, count): (&usize, &usize)| {
        let label = &figures.targets[*target].label;
        text!("{label} leads in {count}", "{label} 在 {count} 项领先")
    };
    let mut parts: Vec<Text> = leads.iter().map(part).collect();
    if level > 0 {
        parts.push(text!("in {level} the first two do not separate", "{level} 项的前两名无法区分"));
    }
    if void > 0 {
        parts.push(text!("{void} cannot be compared", "{void} 项无法比较"));
    }
    let (all, n, parts) = (rows.len(), figures.targets.len(), Text::join(&parts, &Text::pair(", ", "，")));
    let end = match figures.repeats {
        1 => Text::pair(
            "; with one run of each nothing says that another run would show the same",
            "；各只有一次运行，无从得知再次运行是否相同",
        ),
        _ => Text::default(),
    };
    let text = text!(
        "What differs: of {all} main figures of {n} targets, {parts}{end}.",
        "差异：{n} 个被测对象的 {all} 项主要指标中，{parts}{end}。"; parts, end
    );
    VerdictLine::new(text, "figures")
}

/// One sentence per step that has a figure of two targets or more.
pub(super) fn lines(figures: &Figures) -> Vec<VerdictLine> {
    let of_step = |step: &StepFigures| {
        let rows = main_rows(figures).into_iter().filter(|(of, _)| of.name == step.name).map(|(_, row)| row);
        let parts: Vec<Text> = rows.filter_map(|row| part(figures, step, row)).collect();
        let parts = Text::join(&parts, &Text::pair("; ", "；"));
        (!parts.is_empty()).then(|| line(step, &parts))
    };
    figures.steps.iter().filter_map(of_step).collect()
}

/// What may be said of one quantity.
fn part(figures: &Figures, step: &StepFigures, row: &Row) -> Option<Text> {
    let order = Order::of(row)?;
    let label = |place: usize| figures.targets[place].label.as_str();
    if order.known.iter().all(|(_, found)| found.mean == 0.0) {
        return None;
    }
    let share =
        |(target, _): &(usize, &Estimate)| step.estimate(Metric::DeliveredShare, *target).map(|found| found.min);
    if row.metric == Metric::DeliveredPerS
        && order.known.iter().all(|known| share(known).is_some_and(|share| share >= WHOLE_PERCENT))
    {
        let of: Vec<&str> = order.known.iter().map(|(target, _)| label(*target)).collect();
        let of = of.join(", ");
        return Some(text!("{of} deliver all that is due", "{of} 都投递了全部应到消息"));
    }
    let (name, unit) = (row.metric.name(), row.metric.unit_text());
    let figure = |(target, found): &(usize, &Estimate)| {
        let (label, found) = (label(*target), estimate(found));
        Text::same(format!("{label} {found}"))
    };
    let shown = Text::join(&order.known.iter().map(figure).collect::<Vec<_>>(), &Text::pair(", ", "，"));
    let lead = order.lead.as_ref().map_or_else(Text::default, |lead| {
        let (first, second, words) = (label(order.known[0].0), label(order.known[1].0), format::contrast(lead));
        text!(" ({first} against {second}: {words})", "（{first} 对 {second}：{words}）"; words)
    });
    let without: Vec<&str> = order.missing.iter().map(|target| label(*target)).collect();
    let without = match without.join(", ") {
        none if none.is_empty() => Text::default(),
        labels => text!("; no valid figure of {labels}", "；{labels} 没有有效数据"),
    };
    Some(text!(
        "{name}, {unit}, best first: {shown}{lead}{without}",
        "{name}（{unit}），由优至劣：{shown}{lead}{without}"; name, unit, shown, lead, without
    ))
}

/// The targets that have a figure, the best first.
struct Order<'a> {
    /// Place of the target and its figure; two or more.
    known: Vec<(usize, &'a Estimate)>,
    /// Those without.
    missing: Vec<usize>,
    /// The first against the second; `None` where the second is 0.
    lead: Option<Contrast>,
}

impl<'a> Order<'a> {
    /// `None` with fewer than two figures, or where none is the better one.
    fn of(row: &'a Row) -> Option<Self> {
        let better = Some(row.metric.better()).filter(|better| *better != Better::Neither)?;
        let (mut known, mut missing) = (Vec::new(), Vec::new());
        for (target, figure) in row.figures.iter().enumerate() {
            match &figure.estimate {
                Some(found) => known.push((target, found)),
                None => missing.push(target),
            }
        }
        known.sort_by(|(_, a), (_, b)| match better {
            Better::Higher => b.mean.total_cmp(&a.mean),
            Better::Lower | Better::Neither => a.mean.total_cmp(&b.mean),
        });
        let [(_, first), (_, second), ..] = known.as_slice() else { return None };
        let lead = Contrast::between(first, second);
        Some(Self { known, missing, lead })
    }

    fn is_clear(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| {
            let is_sure = matches!(lead.verdict, Verdict::Different | Verdict::Apart | Verdict::Single);
            is_sure && lead.percent.abs() >= SAME_PERCENT
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::figures::Figure;
    use super::*;

    fn row(metric: Metric, values: &[&[f64]]) -> Row {
        let figure = |values: &&[f64]| Figure { estimate: Estimate::of(values), ..Figure::default() };
        Row { metric, unit: metric.unit(), figures: values.iter().map(figure).collect(), contrast: None }
    }

    #[test]
    fn the_better_comes_first_and_leads_only_when_the_repeats_say_so() {
        let rising = row(Metric::DeliveredPerS, &[&[10.0, 11.0], &[30.0, 31.0], &[], &[20.0, 21.0]]);
        let order = Order::of(&rising).unwrap();
        assert_eq!(order.known.iter().map(|(target, _)| *target).collect::<Vec<_>>(), [1, 3, 0]);
        assert_eq!(order.missing, [2]);
        assert!(order.is_clear());
        let falling = row(Metric::LatencyP99, &[&[10.0, 12.0], &[30.0, 31.0], &[11.0, 12.0]]);
        let order = Order::of(&falling).unwrap();
        assert_eq!(order.known[0].0, 0);
        assert!(!order.is_clear(), "the ranges of the first two overlap");
        assert!(Order::of(&row(Metric::Connections, &[&[1.0], &[2.0], &[3.0]])).is_none(), "none is the better one");
        assert!(Order::of(&row(Metric::LatencyP99, &[&[1.0], &[], &[]])).is_none());
    }
}
