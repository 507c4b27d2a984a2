//! A browser without a screen: cookies, redirects and forms, as a person goes through pages.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use crate::certificates::Certificates;
use crate::http;

/// A login with everything around it takes about ten.
const REDIRECTS_MAX: usize = 20;

/// One person's browser: what it is given as cookies, it keeps.
pub struct Browser {
    client: Client,
    stop_at: Option<String>,
}

/// What the browser shows, or where it was when it was told to stop.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// A form of a page, with what it holds before anybody fills it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub action: String,
    pub method: String,
    pub fields: Vec<(String, String)>,
}

impl Browser {
    /// Over HTTPS with one authority, or over plain HTTP alone.
    pub fn new(certificates: Option<&Certificates>) -> Browser {
        let client = http::builder(certificates).cookie_store(true).build();
        Browser { client: client.expect("a client without surprises"), stop_at: None }
    }

    /// Goes nowhere that begins so: the page that comes back says where it was sent.
    pub fn stopping_at(mut self, start: &str) -> Browser {
        self.stop_at = Some(start.to_owned());
        self
    }

    pub async fn open(&self, url: &str) -> Page {
        self.go(self.client.get(url)).await
    }

    /// Fills in the one form of a page, and sends it. A field it has already is replaced.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let form = page.form().unwrap_or_else(|| panic!("there is no form in {page:#?}"));
        self.submit_form(page, &form, fields).await
    }

    /// The same, for a page with several.
    pub async fn submit_form(&self, page: &Page, form: &Form, fields: &[(&str, &str)]) -> Page {
        let mut filled = form.fields.clone();
        for (name, value) in fields {
            filled.retain(|(known, _)| known != name);
            filled.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut url = Url::parse(&page.url).expect("a page has an address");
        if !form.action.is_empty() {
            url = url.join(&form.action).expect("a form leads somewhere");
        }
        let request = if form.method == "post" {
            self.client.post(url).form(&filled)
        } else {
            url.query_pairs_mut().clear().extend_pairs(&filled);
            self.client.get(url)
        };
        self.go(request).await
    }

    /// Sends a request and follows where it leads.
    async fn go(&self, mut request: RequestBuilder) -> Page {
        for _ in 0..REDIRECTS_MAX {
            let response = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
            let (url, status) = (response.url().clone(), response.status());
            let headers = response.headers().clone();
            let Some(next) = next(&url, status, &headers) else {
                let body = response.text().await.expect("pages are text");
                return Page { url: url.into(), status: status.as_u16(), headers, body };
            };
            if self.stop_at.as_ref().is_some_and(|start| next.as_str().starts_with(start)) {
                let body = String::new();
                return Page { url: next.into(), status: status.as_u16(), headers, body };
            }
            request = self.client.get(next);
        }
        panic!("sent from page to page more than {REDIRECTS_MAX} times");
    }
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The first form.
    pub fn form(&self) -> Option<Form> {
        self.forms().into_iter().next()
    }

    pub fn forms(&self) -> Vec<Form> {
        let starts = self.body.split("<form").skip(1);
        starts.map(|rest| form(rest.split("</form>").next().unwrap_or(rest))).collect()
    }

    /// True when the page has a field of this name, whatever its value.
    pub fn asks_for(&self, field: &str) -> bool {
        let named = format!("name=\"{field}\"");
        self.body.split("<input").skip(1).any(|rest| tag(rest).contains(&named))
    }
}

/// Where a redirect leads; everything after one is a GET, as browsers have it after a form.
fn next(url: &Url, status: StatusCode, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(LOCATION).filter(|_| status.is_redirection())?;
    let location = location.to_str().expect("an address is text");
    Some(url.join(location).expect("a redirect leads somewhere"))
}

/// Pages of ours and of the provider are plain: attributes in double quotes, no scripts with
/// tags in them.
fn form(text: &str) -> Form {
    let start = tag(text);
    let inputs = text.split("<input").skip(1).map(tag);
    let hidden = inputs.filter(|input| attribute(input, "type").as_deref() == Some("hidden"));
    let field = |input: &str| {
        Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default()))
    };
    Form {
        action: attribute(start, "action").unwrap_or_default(),
        method: attribute(start, "method").unwrap_or_default().to_lowercase(),
        fields: hidden.filter_map(field).collect(),
    }
}

fn tag(text: &str) -> &str {
    text.split('>').next().unwrap_or(text)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'")];
    let plain = entities.iter().fold(value.to_owned(), |text, (from, to)| text.replace(from, to));
    Some(plain.replace("&#x2F;", "/").replace("&amp;", "&"))
}
