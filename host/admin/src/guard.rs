//! What every request passes before a handler sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use portcullis_policy::event::{Actor, Notable};
use tokio::runtime::Handle;

use crate::caller::{self, Caller};
use crate::operation::Operation;
use crate::parts::Record;
use crate::problem::{Problem, Refusal};
use crate::settings::{host, is_loopback};
use crate::shared::Shared;

/// The longest that a record says about what was to be changed.
const TARGET_BYTES_MAX: usize = 256;

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

/// Every request: from where it may come, how long it may take, and what browsers are told
/// about the answer.
pub(crate) async fn bound(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let secure = shared.url().is_secure();
    let limit = shared.settings.load().limits.request;
    let answer = match is_addressed_here(&shared, request.headers()) {
        Ok(()) => match tokio::time::timeout(limit, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "it took too long").into_response(),
        },
        Err(problem) => problem.into_response(),
    };
    with_headers(answer, secure)
}

/// Without TLS, only to names of this machine: a name that another site points here would
/// make a browser take it for that site's own.
fn is_addressed_here(shared: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    if shared.settings.load().tls.is_some() {
        return Ok(());
    }
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok()).map(host);
    let ours = named.is_some_and(|named| is_loopback(named) || named == shared.url().host());
    let detail = "the Host header must be a loopback name, or the one of the public URL";
    if ours { Ok(()) } else { Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)) }
}

fn with_headers(mut answer: Response, secure: bool) -> Response {
    let headers = answer.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CACHE_CONTROL, "no-store");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    // Addresses of pages hold one-time tokens. Not "no-referrer": that would take the origin
    // from our own forms.
    set(header::REFERRER_POLICY, "same-origin");
    if secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    for name in ["cross-origin-resource-policy", "cross-origin-opener-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let nothing = "default-src 'none'; frame-ancestors 'none'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(nothing));
    }
    answer
}

/// Every request of the API: a login, the role that its operation needs, and a record of
/// each change that is refused, by whomever.
pub(crate) async fn admit(
    State((shared, operation)): State<(Arc<Shared>, Operation)>,
    Peer(address): Peer,
    mut request: Request,
    next: Next,
) -> Response {
    let target = target(&request);
    let nobody = caller::anonymous(address);
    let mut unanswered = Unanswered::watch(&shared, operation, nobody, &target);
    let (actor, answer) = match admitted(&shared, operation, address, request.headers()).await {
        Ok(caller) => match caller.meets(operation.route().need) {
            Ok(()) => {
                unanswered.is_over();
                let mut unanswered = Unanswered::watch(&shared, operation, caller.actor(), &target);
                request.extensions_mut().insert(caller.clone());
                let answer = next.run(request).await;
                unanswered.is_over();
                (caller.actor(), answer)
            }
            Err(problem) => (caller.actor(), problem.into_response()),
        },
        Err(problem) => (caller::anonymous(address), problem.into_response()),
    };
    unanswered.is_over();
    record_refusal(&shared, operation, actor, target, answer).await
}

/// What a change leaves in the ledger when nobody is answered: it took too long, or the caller
/// went away.
struct Unanswered {
    record: Record,
    /// None for what changes nothing, and for what is over.
    notable: Option<Notable>,
}

impl Unanswered {
    fn watch(shared: &Shared, operation: Operation, by: Actor, target: &str) -> Unanswered {
        let refused = "it took too long, or the caller went away: nobody was answered";
        let notable = operation.route().change.map(|action| Notable::Administered {
            by,
            action,
            target: target.to_owned(),
            refused: Some(refused.to_owned()),
        });
        Unanswered { record: shared.parts.record.clone(), notable }
    }

    fn is_over(&mut self) {
        self.notable = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(notable) = self.notable.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let record = self.record.clone();
        // Nobody is left to be told when it fails.
        runtime.spawn_blocking(move || {
            if let Err(error) = record(notable) {
                tracing::error!(%error, "the control surface could not write the ledger");
            }
        });
    }
}

async fn admitted(
    shared: &Arc<Shared>,
    operation: Operation,
    address: SocketAddr,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    if is_from_another_site(headers) {
        return Err(Problem::forbidden("another site caused this request"));
    }
    match caller::given(headers) {
        Some(given) => caller::by(shared, given, address).await,
        None => {
            if operation.route().change.is_some() {
                // It leaves a record, so who sends many must wait.
                caller::hold_back_failed(shared, "", address).await;
            }
            Err(Problem::login())
        }
    }
}

/// By what browsers say of themselves; programs say nothing.
pub(crate) fn is_from_another_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let origin = text("origin").is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none() || authority != text("host")
    });
    site || origin
}

async fn record_refusal(
    shared: &Shared,
    operation: Operation,
    by: Actor,
    target: String,
    answer: Response,
) -> Response {
    let Some(action) = operation.route().change else { return answer };
    if answer.status().is_success() {
        return answer;
    }
    let said = answer.extensions().get::<Refusal>().map(|refusal| refusal.0.clone());
    let refused = Some(said.unwrap_or_else(|| answer.status().to_string()));
    match shared.record(Notable::Administered { by, action, target, refused }).await {
        Ok(()) => answer,
        Err(problem) => problem.into_response(),
    }
}

/// What a request is about, as the ledger names it: its path, which holds no secret.
fn target(request: &Request) -> String {
    let mut path = request.uri().path().to_owned();
    path.truncate(path.floor_char_boundary(TARGET_BYTES_MAX));
    path
}
