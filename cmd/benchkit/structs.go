package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/amlgate/amlgate/cmd/internal/load"
)

// structMethod is what structService serves.
const structMethod = "/benchkit.Struct/Execute"

// maxMessage is the largest message of structService; a large request is about 1 MB.
const maxMessage = 16 << 20

// structService is what a gRPC service for any table looks like without a contract of its own: google.protobuf.Struct in
// and out, with encoding/json between it and the upstream. It is what amlgate's tables lane is compared with.
func structService(args []string) error {
	f := flag.NewFlagSet("grpc-struct", flag.ContinueOnError)
	base := f.String("upstream", "", "the upstream's URL")
	if err := f.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go endWithParent()
	fmt.Println(listener.Addr())
	s := &structs{base: *base, client: &http.Client{Transport: &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, IdleConnTimeout: 90 * time.Second}}}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage))
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "benchkit.Struct", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Execute",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request structpb.Struct
			if err := decode(&request); err != nil {
				return nil, err
			}
			return s.execute(ctx, &request)
		},
	}}}, s)
	return server.Serve(listener)
}

type structs struct {
	base   string
	client *http.Client
}

func (s *structs) execute(ctx context.Context, request *structpb.Struct) (*structpb.Struct, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	service := md.Get("service")
	if len(service) != 1 {
		return nil, status.Error(codes.InvalidArgument, "metadata service is missing")
	}
	body, err := json.Marshal(request.AsMap())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/workspaces/w1/services/"+service[0]+"/execute", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, status.Errorf(codes.Unavailable, "%s %v", resp.Status, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(answer, &fields); err != nil {
		return nil, err
	}
	return structpb.NewStruct(fields)
}

// openStruct opens a target at a structService.
func openStruct(address string, size load.Size, concurrency int) (*load.Target, error) {
	var request structpb.Struct
	if err := request.UnmarshalJSON(size.Request()); err != nil {
		return nil, err
	}
	wire, err := proto.Marshal(&request)
	if err != nil {
		return nil, err
	}
	call := caller(size, true)
	call.Header = map[string]string{"service": size.Name}
	return load.NewMethod(address, call, structMethod, wire, func(message []byte) error {
		var answer structpb.Struct
		if proto.Unmarshal(message, &answer) != nil || answer.GetFields()["Results"] == nil {
			return errors.New("no Results")
		}
		return nil
	}, (concurrency+7)/8)
}
