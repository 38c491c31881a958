module mino/test/apps/go

go 1.19
