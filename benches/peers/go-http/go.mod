module grapeshot/benches/peers/go-http

go 1.27
