package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Facts says all that a .proto file means, one entry for each declared thing: "field csi.v1.Volume.volume_id" →
// `number=2 TYPE_STRING …`. Comments, the order of declarations and file options of one language are not in it.
type Facts map[string]string

// FactsOf lists the facts of one file.
func FactsOf(file *descriptorpb.FileDescriptorProto) Facts {
	facts := Facts{}
	syntax := file.GetSyntax()
	if syntax == "" {
		syntax = "proto2" // what protoc leaves out
	}
	facts.add("file", "", "package=%s syntax=%s", file.GetPackage(), syntax)
	for _, message := range file.GetMessageType() {
		facts.addMessage(file.GetPackage(), message)
	}
	for _, enum := range file.GetEnumType() {
		facts.addEnum(file.GetPackage(), enum)
	}
	for _, service := range file.GetService() {
		facts.addService(file.GetPackage(), service)
	}
	for _, extension := range file.GetExtension() {
		facts.addField("extension", file.GetPackage(), extension, nil)
	}
	return facts
}

// Differences compares both ways and says everything that is not equal, sorted.
func Differences(want, got Facts) []string {
	var found []string
	for _, subject := range slices.Sorted(maps.Keys(want)) {
		switch text, there := got[subject]; {
		case !there:
			found = append(found, fmt.Sprintf("missing: %s (%s)", subject, want[subject]))
		case text != want[subject]:
			found = append(found, fmt.Sprintf("differs: %s\n    want %s\n    got  %s", subject, want[subject], text))
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[subject]; !there {
			found = append(found, fmt.Sprintf("not in the specification: %s (%s)", subject, got[subject]))
		}
	}
	return found
}

func (f Facts) add(kind, name, format string, values ...any) {
	subject := strings.TrimSpace(kind + " " + name)
	if _, there := f[subject]; there {
		panic("declared twice: " + subject)
	}
	f[subject] = fmt.Sprintf(format, values...)
}

func (f Facts) addMessage(scope string, message *descriptorpb.DescriptorProto) {
	name := join(scope, message.GetName())
	f.add("message", name, "reserved=%s options={%s}", reserved(message), options(message.GetOptions()))
	for _, field := range message.GetField() {
		f.addField("field", name, field, message.GetOneofDecl())
	}
	for _, oneof := range message.GetOneofDecl() {
		f.add("oneof", join(name, oneof.GetName()), "options={%s}", options(oneof.GetOptions()))
	}
	for _, nested := range message.GetNestedType() { // the entries of map fields are among these
		f.addMessage(name, nested)
	}
	for _, enum := range message.GetEnumType() {
		f.addEnum(name, enum)
	}
	for _, extension := range message.GetExtension() {
		f.addField("extension", name, extension, nil)
	}
}

func (f Facts) addField(kind, scope string, field *descriptorpb.FieldDescriptorProto, oneofs []*descriptorpb.OneofDescriptorProto) {
	oneof := ""
	if field.OneofIndex != nil {
		oneof = oneofs[field.GetOneofIndex()].GetName()
	}
	f.add(kind, join(scope, field.GetName()),
		"number=%d %s %s type=%q json=%q oneof=%q optional=%t extends=%q default=%q options={%s}",
		field.GetNumber(), field.GetLabel(), field.GetType(), field.GetTypeName(), field.GetJsonName(), oneof,
		field.GetProto3Optional(), field.GetExtendee(), field.GetDefaultValue(), options(field.GetOptions()))
}

func (f Facts) addEnum(scope string, enum *descriptorpb.EnumDescriptorProto) {
	name := join(scope, enum.GetName())
	f.add("enum", name, "reserved=%v %v options={%s}",
		enum.GetReservedRange(), enum.GetReservedName(), options(enum.GetOptions()))
	for _, value := range enum.GetValue() {
		f.add("enum value", join(name, value.GetName()), "number=%d options={%s}",
			value.GetNumber(), options(value.GetOptions()))
	}
}

func (f Facts) addService(scope string, service *descriptorpb.ServiceDescriptorProto) {
	name := join(scope, service.GetName())
	f.add("service", name, "options={%s}", options(service.GetOptions()))
	for _, method := range service.GetMethod() {
		f.add("method", join(name, method.GetName()), "%s -> %s streams=%t/%t options={%s}",
			method.GetInputType(), method.GetOutputType(), method.GetClientStreaming(), method.GetServerStreaming(),
			options(method.GetOptions()))
	}
}

func reserved(message *descriptorpb.DescriptorProto) string {
	ranges := make([]string, 0, len(message.GetReservedRange()))
	for _, r := range message.GetReservedRange() {
		ranges = append(ranges, fmt.Sprintf("%d-%d", r.GetStart(), r.GetEnd()-1))
	}
	slices.Sort(ranges)
	return fmt.Sprint(ranges, slices.Sorted(slices.Values(message.GetReservedName())))
}

// options writes out deprecated, map_entry, csi_secret, alpha_* and whatever else is set. Bytes are compared, the
// text is for people: an option of an unknown extension shows as its number and is not lost.
func options(message proto.Message) string {
	if !message.ProtoReflect().IsValid() {
		return ""
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		panic(err) // a descriptor that was decoded can be encoded
	}
	if len(encoded) == 0 {
		return ""
	}
	text := prototext.MarshalOptions{EmitUnknown: true}.Format(message)
	return fmt.Sprintf("%x %s", encoded, strings.Join(strings.Fields(text), " "))
}

func join(scope, name string) string {
	if scope == "" {
		return name
	}
	return scope + "." + name
}
