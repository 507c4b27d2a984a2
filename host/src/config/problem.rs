//! What is wrong with a configuration, all at once, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

/// One thing that is wrong, or unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    /// Bytes of the file that it is about.
    pub span: Range<usize>,
}

/// A configuration that cannot be used, or that deserves a second look. Prints as a report
/// through miette and as `file:line: message` lines by itself.
pub struct Report {
    path: PathBuf,
    source: Box<NamedSource<String>>,
    problems: Vec<Problem>,
    severity: Severity,
}

impl Report {
    /// Why a configuration is refused.
    pub(super) fn refusal(path: &Path, text: &str, problems: Vec<Problem>) -> Report {
        Report::new(path, text, problems, Severity::Error)
    }

    /// What is unwise in a configuration that is used all the same.
    pub(super) fn advice(path: &Path, text: &str, problems: Vec<Problem>) -> Report {
        Report::new(path, text, problems, Severity::Warning)
    }

    fn new(path: &Path, text: &str, mut problems: Vec<Problem>, severity: Severity) -> Report {
        problems.sort_by_key(|problem| problem.span.start);
        let source = NamedSource::new(path.display().to_string(), text.to_owned());
        Report { path: path.to_owned(), source: Box::new(source), problems, severity }
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Line, counted from 1, and message of each problem, in the order of the file.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = self.source.inner();
        let line = |problem: &Problem| {
            let before = text.as_bytes().get(..problem.span.start).unwrap_or(text.as_bytes());
            before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
        };
        self.problems.iter().map(move |problem| (line(problem), problem.message.as_str()))
    }

    fn summary(&self) -> String {
        let count = self.problems.len();
        match (self.severity, count) {
            (Severity::Error, 1) => "the configuration cannot be used".to_owned(),
            (Severity::Error, _) => {
                format!("the configuration cannot be used, for {count} reasons")
            }
            (Severity::Warning | Severity::Advice, _) => {
                "the configuration deserves a second look".to_owned()
            }
        }
    }
}

impl fmt::Display for Report {
    /// One line each in the alternate form, which logs use; else what miette puts above the
    /// excerpt of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return f.write_str(&self.summary());
        }
        for (index, (line, message)) in self.lines().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{line}: {message}", self.path.display())?;
        }
        Ok(())
    }
}

/// Without the file's text, which holds verifiers: debug output ends up in logs.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("path", &self.path)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |problem: &Problem| {
            LabeledSpan::new_with_span(Some(problem.message.clone()), problem.span.clone())
        };
        Some(Box::new(self.problems.iter().map(label)))
    }
}
