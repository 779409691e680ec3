//! The charts as files beside the page: SVG, and PNG at twice the size.
//!
//! PNG needs a font. resvg draws with those of the machine; where there is none the PNG files are left out, and that is said.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::{tiny_skia, usvg};

use super::Options;
use super::charts::Chart;
use super::html::{escape, slug};

/// Writes each chart as `<id>.svg` and `<id>.png` into `dir`, in the language of the options, and returns what could not be done. What an
/// earlier report left there is removed.
///
/// # Errors
/// When the directory cannot be made or a file not be written.
pub fn save_charts(dir: &Path, charts: &[(String, Chart)], options: &Options) -> Result<Vec<String>> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot replace {}", dir.display()))?;
    }
    fs::create_dir_all(dir)
        .with_context(|| format!("cannot make {}: choose another place with -o FILE", dir.display()))?;
    let (lang, mut notes) = (options.lang, Vec::new());
    let fonts = if options.no_png { None } else { fonts() };
    if fonts.is_none() && !options.no_png {
        notes.push(format!("no font on this machine: {} holds the charts as SVG only, not as PNG", dir.display()));
    }
    for (id, chart) in charts {
        // Not with_extension: a step's name may hold a dot.
        let file = |extension: &str| dir.join(format!("{}.{extension}", slug(id)));
        let svg = chart.picture.alone(lang, &escape(chart.title.of(lang)), &escape(chart.alt.of(lang)));
        save(&file("svg"), svg.as_bytes())?;
        if let Some(fonts) = &fonts {
            save(&file("png"), &png(&svg, fonts).with_context(|| format!("the chart {id} as PNG"))?)?;
        }
    }
    Ok(notes)
}

/// The machine's fonts, with one of them as the usual one; `None` when it has none.
fn fonts() -> Option<Arc<Database>> {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    let has = |name: &str| fonts.query(&Query { families: &[Family::Name(name)], ..Query::default() }).is_some();
    let usual = USUAL_FONTS.into_iter().find(|name| has(name)).map(str::to_owned);
    let any = || fonts.faces().next().and_then(|face| Some(face.families.first()?.0.clone()));
    let family = usual.or_else(any)?;
    fonts.set_sans_serif_family(family);
    Some(Arc::new(fonts))
}

fn png(svg: &str, fonts: &Arc<Database>) -> Result<Vec<u8>> {
    let options = usvg::Options { fontdb: fonts.clone(), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).context("the picture is not understood")?;
    let size = tree.size();
    let (width, height) = ((size.width() * SCALE) as u32, (size.height() * SCALE) as u32);
    let mut paper = tiny_skia::Pixmap::new(width, height).context("the picture has no size")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut paper.as_mut());
    paper.encode_png().context("encoding")
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Tried in this order; Chinese comes from whichever font has it.
const USUAL_FONTS: [&str; 5] = ["DejaVu Sans", "Noto Sans", "Liberation Sans", "Arial", "Noto Sans CJK SC"];
const SCALE: f32 = 2.0;
