//! `analyze serve`: an experiment in a browser while it runs.
//!
//! The page asks for its changing part every other second. One look at the runs serves all who ask, and it is taken only when
//! somebody asks and the last one is old enough: directories are listed, new runs are opened once, and of those that still
//! grow only the last rows are read. The server runs at lowered priority and shows what it costs. No part of an address ever
//! becomes a path, so nothing outside the directory can be asked for.
//!
//! - [`watch`]: what the runs show just now.
//! - [`page`]: its form.

pub mod page;
pub mod watch;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use runlog::clock::{NS_PER_S, mono_ns};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::watch::{Snapshot, Watch};
use crate::report;
use crate::report::text::Lang;

/// Serves the experiment in `dir` until SIGINT or SIGTERM.
///
/// # Errors
/// When the directory cannot be read or the address not be had.
pub fn serve(dir: &Path, listen: SocketAddr, lang: Lang) -> Result<()> {
    lower_priority();
    let watch = Watch::new(dir)?;
    let state =
        Arc::new(Shared { dir: dir.to_owned(), lang, seen: Mutex::new(Seen::new(watch)), report: Mutex::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    runtime.block_on(run(state, listen))
}

async fn run(state: Arc<Shared>, listen: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen at {listen}: choose another address with --listen ADDRESS:PORT"))?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let (told, is_told) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        signals.forever().next();
        let _ = told.send(());
    });
    let address = listener.local_addr()?;
    println!("{} at http://{address}/ (Ctrl-C ends it)", state.dir.display());
    std::io::stdout().flush()?;
    let app = Router::new()
        .route("/", get(whole))
        .route("/live", get(part))
        .route("/live.json", get(json))
        .route("/report", get(full_report))
        .with_state(state);
    // A browser that keeps its connection open does not keep the server.
    let (stopped, is_stopped) = tokio::sync::oneshot::channel::<()>();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = is_told.await;
        let _ = stopped.send(());
    });
    let patience = async move {
        // An error means that the server ended by itself.
        let _ = is_stopped.await;
        tokio::time::sleep(STOP_PATIENCE).await;
    };
    tokio::select! {
        done = async { served.await } => done.context("the server failed"),
        () = patience => Ok(()),
    }
}

struct Shared {
    dir: PathBuf,
    lang: Lang,
    seen: Mutex<Seen>,
    report: Mutex<Option<Rendered>>,
}

/// The last look, and the watch that takes the next one.
struct Seen {
    watch: Watch,
    at_ns: u64,
    snapshot: Option<Arc<Snapshot>>,
}

/// The full report as it was made last.
struct Rendered {
    made_ns: u64,
    runs_done: usize,
    html: Arc<str>,
}

impl Seen {
    fn new(watch: Watch) -> Self {
        Self { watch, at_ns: 0, snapshot: None }
    }

    /// The last look, or a new one when that is old.
    fn look(&mut self) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.snapshot.as_ref().filter(|_| mono_ns() - self.at_ns < LOOK_EVERY_NS) {
            return Ok(snapshot.clone());
        }
        let snapshot = Arc::new(self.watch.look()?);
        self.at_ns = mono_ns();
        self.snapshot = Some(snapshot.clone());
        Ok(snapshot)
    }
}

impl Shared {
    fn look(&self) -> Result<Arc<Snapshot>> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).look()
    }

    /// The full report; made anew only when runs have ended since, and not more often than every [`REPORT_EVERY_NS`].
    fn report(&self) -> Result<Arc<str>> {
        let runs_done = self.look()?.runs_done;
        let mut last = self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = last.as_ref()
            && (known.runs_done == runs_done || mono_ns() - known.made_ns < REPORT_EVERY_NS)
        {
            return Ok(known.html.clone());
        }
        let runs = runlog::discover(std::slice::from_ref(&self.dir))?;
        let html: Arc<str> = report::page(&self.dir, runs, self.lang)?.into();
        *last = Some(Rendered { made_ns: mono_ns(), runs_done, html: html.clone() });
        Ok(html)
    }
}

async fn whole(State(state): State<Arc<Shared>>) -> Response {
    answer(HTML, move || Ok(page::whole(&*state.look()?, state.lang))).await
}

async fn part(State(state): State<Arc<Shared>>) -> Response {
    answer(HTML, move || Ok(page::part(&*state.look()?))).await
}

async fn json(State(state): State<Arc<Shared>>) -> Response {
    answer("application/json", move || Ok(serde_json::to_string(&*state.look()?)?)).await
}

async fn full_report(State(state): State<Arc<Shared>>) -> Response {
    answer(HTML, move || Ok(state.report()?.to_string())).await
}

/// Does the work beside the loop that answers, and tells a failure in words.
async fn answer(kind: &'static str, work: impl FnOnce() -> Result<String> + Send + 'static) -> Response {
    let outcome = tokio::task::spawn_blocking(work).await;
    let (status, kind, body) = match outcome {
        Ok(Ok(body)) => (StatusCode::OK, kind, body),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", format!("{error:#}\n")),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "the work failed\n".to_owned()),
    };
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (status, headers, body).into_response()
}

/// What is measured goes first: this process and its threads yield to it.
fn lower_priority() {
    // SAFETY: takes three integers and touches no memory of ours; 0 is the calling thread, whose children inherit it.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

const HTML: &str = "text/html; charset=utf-8";
/// The page loads nothing from elsewhere, and its one script is its own.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const NICENESS: i32 = 10;
/// A look is not repeated sooner, whoever asks.
const LOOK_EVERY_NS: u64 = NS_PER_S;
/// A full report costs seconds of CPU.
const REPORT_EVERY_NS: u64 = 10 * NS_PER_S;
const STOP_PATIENCE: Duration = Duration::from_secs(2);
