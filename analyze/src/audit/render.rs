//! The forms of `analyze audit`: Markdown, CSV, JSON.

use std::fmt::Write as _;

use super::{Audit, Proof, Severity};

/// Findings first, then what was clean and what cannot be seen.
pub fn markdown(audit: &Audit) -> String {
    let mut text = format!("# Audit\n\n{}\n", counts(audit));
    for finding in &audit.findings {
        let (flaw, severity) = (finding.flaw, finding.severity.word());
        text += &format!("\n## {flaw} {} ({severity}): {}\n\n", finding.code, finding.title);
        for proof in &finding.evidence {
            text += &format!("- `{}`{}: {}\n", proof.place(), moment(proof), proof.text);
        }
        text += &format!("\nConsequence: {}\n", finding.consequence);
    }
    if !audit.clean.is_empty() {
        text += "\n## Looked for and not found\n\n";
        for clean in &audit.clean {
            text += &format!("- {} {}: {} looked at\n", clean.flaw, clean.title, clean.looked_at);
        }
    }
    if !audit.not_visible.is_empty() {
        text += "\n## Not visible here\n\n";
        for hidden in &audit.not_visible {
            text += &format!("- {} {}: not visible here: needs {}\n", hidden.flaw, hidden.title, hidden.needs);
        }
    }
    if !audit.unread.is_empty() {
        text += "\n## Not read\n\n";
        audit.unread.iter().for_each(|what| text += &format!("- {what}\n"));
    }
    text
}

/// How many findings of which severity.
pub fn counts(audit: &Audit) -> String {
    let of = |severity| audit.findings.iter().filter(|finding| finding.severity == severity).count();
    format!(
        "{} findings: {} high, {} medium, {} low. {} flaws looked for and not found, {} not visible in these data.",
        audit.findings.len(),
        of(Severity::High),
        of(Severity::Medium),
        of(Severity::Low),
        audit.clean.len(),
        audit.not_visible.len()
    )
}

/// One line per piece of evidence.
pub fn csv(audit: &Audit) -> String {
    let mut text = String::from("flaw,code,severity,title,file,run_s,utc,evidence,consequence,line\n");
    for finding in &audit.findings {
        for proof in &finding.evidence {
            let (run_s, utc) = match &proof.at {
                Some(at) => (at.run_s.to_string(), at.utc.clone().unwrap_or_default()),
                None => Default::default(),
            };
            let line = proof.line.map(|line| line.to_string()).unwrap_or_default();
            let cells = [
                finding.flaw,
                finding.code,
                finding.severity.word(),
                &finding.title,
                &proof.file,
                &run_s,
                &utc,
                &proof.text,
                &finding.consequence,
                &line,
            ]
            .map(crate::summary::render::quoted);
            writeln!(text, "{}", cells.join(",")).expect("a String takes everything");
        }
    }
    text
}

impl Proof {
    /// The file, with the line where one shows it.
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.file.clone(), |line| format!("{}:{line}", self.file))
    }
}

fn moment(proof: &Proof) -> String {
    match &proof.at {
        Some(at) => match &at.utc {
            Some(utc) => format!(", at {:.0} s ({utc})", at.run_s),
            None => format!(", at {:.0} s", at.run_s),
        },
        None => String::new(),
    }
}
