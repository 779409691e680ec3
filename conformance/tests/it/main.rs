//! The catalogue of cases against the catalogue of statements, and the document made from both.

mod catalogue; // every statement has a case or a reason, every case names statements that exist
mod document; // docs/conformance.md is what the catalogue says
