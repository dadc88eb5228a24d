// Package proto_test checks the hand-written protos that stand for somebody else's.
package proto_test

import (
	"fmt"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestGoogleAPI compares our declarations of google/api with Google's, as genproto has them: neither may declare more
// than the other. Go's stubs use genproto; those of other languages may meet Google's copy in one process with ours.
func TestGoogleAPI(t *testing.T) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{"."}}),
	}
	for _, google := range []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto,
		annotations.File_google_api_http_proto,
	} {
		t.Run(google.Path(), func(t *testing.T) {
			ours, err := compiler.Compile(t.Context(), google.Path())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(facts(google), facts(ours[0])); diff != "" {
				t.Errorf("-google +ours\n%s", diff)
			}
		})
	}
}

// facts is what a file declares, by name: all but comments, order, and options that only other generators read.
func facts(file protoreflect.FileDescriptor) map[string]string {
	facts := map[string]string{
		"package": string(file.Package()),
		"syntax":  file.Syntax().String(),
	}
	options := file.Options().(*descriptorpb.FileOptions)
	facts["go_package"] = options.GetGoPackage()
	facts["java_multiple_files"] = fmt.Sprint(options.GetJavaMultipleFiles())
	facts["java_outer_classname"] = options.GetJavaOuterClassname()
	facts["java_package"] = options.GetJavaPackage()
	facts["objc_class_prefix"] = options.GetObjcClassPrefix()

	for i := range file.Imports().Len() {
		facts["import "+file.Imports().Get(i).Path()] = ""
	}
	for i := range file.Extensions().Len() {
		addField(facts, file.Extensions().Get(i))
	}
	for i := range file.Enums().Len() {
		facts[string(file.Enums().Get(i).FullName())] = "enum"
	}
	for i := range file.Services().Len() {
		facts[string(file.Services().Get(i).FullName())] = "service"
	}
	addMessages(facts, file.Messages())
	return facts
}

// addMessages adds messages with their fields, nested ones included.
func addMessages(facts map[string]string, messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		message := messages.Get(i)
		facts[string(message.FullName())] = "message"
		for j := range message.Fields().Len() {
			addField(facts, message.Fields().Get(j))
		}
		addMessages(facts, message.Messages())
	}
}

// addField adds a field or an extension.
func addField(facts map[string]string, field protoreflect.FieldDescriptor) {
	fact := fmt.Sprintf("%s %s = %d, JSON %s, presence %t, of %s", field.Cardinality(), field.Kind(), field.Number(),
		field.JSONName(), field.HasPresence(), field.ContainingMessage().FullName())
	if message := field.Message(); message != nil {
		fact += ", type " + string(message.FullName())
	}
	if oneof := field.ContainingOneof(); oneof != nil {
		fact += ", oneof " + string(oneof.FullName())
	}
	facts[string(field.FullName())] = fact
}
