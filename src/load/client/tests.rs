use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use super::*;

/// A server that answers each request on one connection with the next of these texts, in pieces, then hangs up.
async fn serve(listener: TcpListener, answers: Vec<Vec<&'static str>>) {
    let (mut stream, _) = listener.accept().await.expect("accept");
    let mut request = vec![0; 1024];
    for pieces in answers {
        let _bytes = stream.read(&mut request).await.expect("request");
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.expect("answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn with_server<T>(answers: Vec<Vec<&'static str>>, test: impl AsyncFnOnce(LoadConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let server = tokio::spawn(serve(listener, answers));
        let result = test(LoadConnection::open(address).await.expect("open")).await;
        server.abort();
        result
    })
}

#[test]
fn one_connection_carries_answer_after_answer() {
    let answers = vec![
        vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
        vec!["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-", "Length: 3\r\n\r\na", "bc"],
        vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nh", "i\r\n0\r\n", "\r\n"],
        vec!["HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"],
    ];
    with_server(answers, async |mut connection| {
        for (status, body) in [(200, "hello"), (201, "abc"), (200, "hi"), (409, "{}")] {
            assert!(connection.is_reusable());
            let reply = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await.expect("answer");
            assert_eq!((reply.head.status, reply.body), (status, body.as_bytes()));
        }
        assert!(!connection.is_reusable(), "the server said that it closes");
    });
}

#[test]
fn a_hang_up_is_a_lost_connection() {
    let cut_short = vec![vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"]];
    with_server(cut_short, async |mut connection| {
        assert!(matches!(connection.exchange(b"x").await, Err(ExchangeError::Lost)));
        assert!(!connection.is_reusable());
    });
    with_server(vec![], async |mut connection| {
        assert!(matches!(connection.exchange(b"x").await, Err(ExchangeError::Lost)));
    });
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_noticed_before_it_is_used() {
    with_server(vec![vec!["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]], async |mut connection| {
        assert!(connection.is_quiet());
        connection.exchange(b"x").await.expect("answer");
        assert!(connection.is_quiet());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!connection.is_quiet(), "the server hung up after its last answer");
    });
}

#[test]
fn invalid_responses_are_errors() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nab",
        "hello there\r\n",
    ] {
        with_server(vec![vec![answer]], async |mut connection| {
            assert!(matches!(connection.exchange(b"x").await, Err(ExchangeError::Invalid(_))), "{answer:?}");
        });
    }
}

#[test]
fn a_closed_port_is_not_connected() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let address = listener.local_addr().expect("address");
        drop(listener);
        assert!(matches!(LoadConnection::open(address).await, Err(ExchangeError::NotConnected(_))));
    });
}
