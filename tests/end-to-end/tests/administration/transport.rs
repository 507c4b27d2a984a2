//! TLS on the admin address.

use end_to_end::portcullis::{ADMIN, PASSWORD};
use end_to_end::{Login, Setup, cluster, http};

const LINES: &str = "roles = { viewer = [\"operators\"] }\n\
    tls = { certificate = \"{place}/server.crt\", key = \"{place}/server.key\" }";

#[tokio::test]
async fn the_api_speaks_tls_where_it_is_told_to() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database).admin_line(LINES).start().await;
    let url = format!("https://{}", portcullis.admin());
    let trusting = http::client(Some(portcullis.certificates()));
    let asked = trusting.get(format!("{url}/v1/whoami")).basic_auth(ADMIN.name, Some(PASSWORD));
    let answer = asked.send().await.expect("it is trusted");
    assert_eq!(answer.status().as_u16(), 200);
    let kept_to_tls = answer.headers().get("strict-transport-security");
    assert!(kept_to_tls.is_some(), "{:?}", answer.headers());
    let unknown = http::client(None).get(format!("{url}/livez")).send().await;
    assert!(unknown.is_err(), "its authority is not everybody's");
    let plain = http::client(None).get(format!("http://{}/livez", portcullis.admin())).send().await;
    assert!(plain.is_err(), "nothing is said in plaintext: {plain:?}");

    let authority = portcullis.authority_file().display().to_string();
    let trusted = ["whoami", "--admin", &url, "--ca-file", &authority];
    let output = portcullis.cli_as(ADMIN, &trusted).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("admin") && said.contains("viewer"), "{said}");
    let output = portcullis.cli_as(Login::from(ADMIN), &trusted[..3]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--ca-file"), "it says what would help: {said}");
}
