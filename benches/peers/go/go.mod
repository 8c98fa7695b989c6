module grapeshot/benches/peers/go

go 1.27
