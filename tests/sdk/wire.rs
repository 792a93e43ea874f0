//! What travels, byte by byte, over real sockets: the response upload and the notice's POST.

use std::{collections::BTreeMap, time::Duration};

use hawser::{
    names::ResponseUrl,
    ports::{Mailbox, VENDOR_BODY_BYTES_MAX, Vendor},
    sdk::web::Web,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

const LIMIT: Duration = Duration::from_secs(5);

/// Serves one connection: reads until the request's end, answers with `answer`, then sends `flood` more bytes.
async fn serve(answer: String, flood: usize) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = socket.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((plan_header, body)) = text.split_once("\r\n\r\n") {
                let length =
                    plan_header.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
                if body.len() >= length.unwrap_or_default().parse().unwrap_or(0) {
                    socket.write_all(answer.as_bytes()).await.unwrap();
                    for _ in 0..flood / 1024 {
                        if socket.write_all(&[b'x'; 1024]).await.is_err() {
                            break;
                        }
                    }
                    return text;
                }
            }
            assert!(read > 0, "the request ended early");
        }
    });
    (port, served)
}

fn web() -> Web {
    Web::new().unwrap()
}

#[tokio::test]
async fn the_upload_is_what_a_presigned_url_was_signed_for() {
    // HW-A4: shapes that CloudFormation has sent over the years; the path and query must arrive as they are.
    let shapes = [
        "/arn%3Aaws%3Acloudformation%3Aus-east-1%3A111122223333%3Astack/acme/5e0c%7CBillingExport%7C7bfe2d54?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=0f",
        "/arn%3Aaws%3Astack/acme/guid%7CX%7Cid?AWSAccessKeyId=AKIA&Expires=1400000000&Signature=a%2Bb%2Fc%3D",
        "/a+b~c!d'e(f)*g%20h?x=%27y%27&z=a%7Cb",
    ];
    for shape in shapes {
        let (port, served) = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), 0).await;
        let url = ResponseUrl::parse(&format!("http://127.0.0.1:{port}{shape}")).unwrap();
        let body = r#"{"Status":"SUCCESS","Reason":"ü"}"#;
        let status = web().put(url.expose(), body.as_bytes(), LIMIT).await.unwrap();
        let request = served.await.unwrap();
        let (plan_header, sent) = request.split_once("\r\n\r\n").unwrap();
        let lines: Vec<String> = plan_header.lines().map(str::to_lowercase).collect();
        assert_eq!(status, 200);
        assert_eq!(plan_header.lines().next().unwrap(), format!("PUT {shape} HTTP/1.1"), "the URL's bytes changed");
        assert!(lines.iter().any(|line| line == "content-type:" || line == "content-type: "), "{plan_header}");
        assert!(lines.contains(&format!("content-length: {}", body.len())), "{plan_header}");
        assert!(!lines.iter().any(|line| line.starts_with("transfer-encoding")), "{plan_header}");
        assert_eq!(sent, body);
    }
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let (port, served) =
        serve("HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(), 0).await;
    let url = Url::parse(&format!("http://127.0.0.1:{port}/notices")).unwrap();
    let answer = web().post(&url, &BTreeMap::new(), "{}", LIMIT).await.unwrap();
    assert_eq!(answer.status, 307);
    served.await.unwrap();
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_it_is_looked_at() {
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_owned();
    let (port, served) = serve(endless, 64 * 1024 * 1024).await;
    let url = Url::parse(&format!("http://127.0.0.1:{port}/notices")).unwrap();
    let answer = web().post(&url, &BTreeMap::new(), "{}", LIMIT).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, VENDOR_BODY_BYTES_MAX));
    served.await.unwrap();
}

/// F-3, F-8.
#[tokio::test]
async fn silence_ends_at_the_limit_and_its_error_holds_no_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/x?X-Amz-Signature=topsecret", listener.local_addr().unwrap())).unwrap();
    let silent = web().put(&url, b"{}", Duration::from_millis(200)).await.unwrap_err();
    assert!(silent.to_string().contains("no answer in time"), "{silent}");
    drop(listener);
    let command_error = web().put(&url, b"{}", LIMIT).await.unwrap_err();
    assert!(command_error.to_string().contains("no connection"), "{command_error}");
    for error in [silent, command_error] {
        assert!(!error.to_string().contains("topsecret"), "{error}");
    }
}

#[tokio::test]
async fn retry_after_in_seconds_is_passed_on() {
    let (port, served) = serve("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".to_owned(), 0).await;
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let answer = web().post(&url, &BTreeMap::new(), "{}", LIMIT).await.unwrap();
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    served.await.unwrap();
}
