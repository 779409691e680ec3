//! Charts as SVG, drawn by plotters: text stays text, so that the reader's browser sets it.
//!
//! Every chart names its units on both axes, draws a failed point as failed, and shows a target in the same colour
//! everywhere. The colours are those of Okabe and Ito, which stay apart for every common kind of colour blindness, and each
//! target also has its letter and its own marker. A style sheet can give other colours for a dark page by selecting on the
//! colours in [`frame`].
//!
//! - [`frame`]: axes, ticks, legend and colours.
//! - [`bars`]: a value per step and target.
//! - [`curve`]: latency over percentiles.
//! - [`lines`]: a quantity over another one, or over time with phases and events.

pub mod bars;
pub mod curve;
pub mod frame;
pub mod lines;

use super::text::Text;

/// A chart with the words that go with it.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Headline.
    pub title: Text,
    /// What is shown, with counts.
    pub caption: Text,
    /// What the picture says, for those who do not see it.
    pub alt: Text,
    /// The picture.
    pub picture: frame::Picture,
}
