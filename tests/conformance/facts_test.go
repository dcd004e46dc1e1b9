package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

type file = descriptorpb.FileDescriptorProto

func message(f *file, name string) *descriptorpb.DescriptorProto {
	for _, m := range f.MessageType {
		if m.GetName() == name {
			return m
		}
	}
	panic("no message " + name)
}

func field(f *file, messageName, name string) *descriptorpb.FieldDescriptorProto {
	for _, candidate := range message(f, messageName).Field {
		if candidate.GetName() == name {
			return candidate
		}
	}
	panic("no field " + messageName + "." + name)
}

func service(f *file, name string) *descriptorpb.ServiceDescriptorProto {
	for _, s := range f.Service {
		if s.GetName() == name {
			return s
		}
	}
	panic("no service " + name)
}

// One change each, and the words that the report about it must hold.
var mutations = []struct {
	name   string
	mutate func(*file)
	report string
}{
	{"package renamed", func(f *file) { f.Package = proto.String("csi.v2") }, "missing: service csi.v1.Identity"},
	{"syntax", func(f *file) { f.Syntax = proto.String("proto2") }, "differs: file"},
	{"message removed", func(f *file) {
		f.MessageType = slices.DeleteFunc(f.MessageType, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == "Topology" })
	}, "missing: message csi.v1.Topology"},
	{"message added", func(f *file) {
		f.MessageType = append(f.MessageType, &descriptorpb.DescriptorProto{Name: proto.String("Ours")})
	}, "not in the specification: message csi.v1.Ours"},
	{"nested message removed", func(f *file) {
		m := message(f, "VolumeCapability")
		m.NestedType = m.NestedType[1:]
	}, "missing: message csi.v1.VolumeCapability.BlockVolume"},
	{"field removed", func(f *file) {
		m := message(f, "Volume")
		m.Field = m.Field[1:]
	}, "missing: field csi.v1.Volume.capacity_bytes"},
	{"field added", func(f *file) {
		m := message(f, "ProbeRequest")
		m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String("ours"), Number: proto.Int32(1)})
	}, "not in the specification: field csi.v1.ProbeRequest.ours"},
	{"field renamed", func(f *file) { field(f, "Volume", "volume_id").Name = proto.String("id") }, "missing: field csi.v1.Volume.volume_id"},
	{"field renumbered", func(f *file) { field(f, "Volume", "volume_id").Number = proto.Int32(99) }, "differs: field csi.v1.Volume.volume_id"},
	{"field type", func(f *file) {
		field(f, "Volume", "volume_id").Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
	}, "differs: field csi.v1.Volume.volume_id"},
	{"field type name", func(f *file) {
		field(f, "CreateVolumeRequest", "capacity_range").TypeName = proto.String(".csi.v1.Volume")
	}, "differs: field csi.v1.CreateVolumeRequest.capacity_range"},
	{"field label", func(f *file) {
		field(f, "Volume", "volume_id").Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}, "differs: field csi.v1.Volume.volume_id"},
	{"field json name", func(f *file) { field(f, "Volume", "volume_id").JsonName = proto.String("id") }, `json="id"`},
	{"field made optional", func(f *file) { field(f, "Volume", "volume_id").Proto3Optional = proto.Bool(true) }, "optional=true"},
	{"field taken out of its oneof", func(f *file) { field(f, "VolumeCapability", "mount").OneofIndex = nil }, "differs: field csi.v1.VolumeCapability.mount"},
	{"field deprecated", func(f *file) {
		field(f, "Volume", "volume_id").Options = &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}
	}, "deprecated"},
	{"oneof renamed", func(f *file) {
		message(f, "VolumeCapability").OneofDecl[0].Name = proto.String("kind")
	}, "missing: oneof csi.v1.VolumeCapability.access_type"},
	{"secret no longer marked", func(f *file) { field(f, "CreateVolumeRequest", "secrets").Options = nil }, "csi_secret"},
	{"secret marked false", func(f *file) {
		proto.SetExtension(field(f, "CreateVolumeRequest", "secrets").Options, csi.E_CsiSecret, false)
	}, "csi_secret"},
	{"map entry made a plain message", func(f *file) {
		message(f, "CreateVolumeRequest").NestedType[0].Options.MapEntry = nil
	}, "map_entry"},
	{"alpha message", func(f *file) {
		options := &descriptorpb.MessageOptions{}
		proto.SetExtension(options, csi.E_AlphaMessage, true)
		message(f, "Volume").Options = options
	}, "alpha_message"},
	{"option of an unknown extension", func(f *file) {
		options := &descriptorpb.MessageOptions{}
		options.ProtoReflect().SetUnknown([]byte{0xc0, 0x3e, 0x01}) // field 1000, varint 1
		message(f, "Volume").Options = options
	}, "differs: message csi.v1.Volume"},
	{"reserved number given up", func(f *file) {
		for _, m := range f.MessageType {
			m.ReservedRange = nil
		}
	}, "reserved=[2-2]"},
	{"enum value renumbered", func(f *file) {
		message(f, "ControllerServiceCapability").NestedType[0].EnumType[0].Value[1].Number = proto.Int32(77)
	}, "differs: enum value csi.v1.ControllerServiceCapability.RPC.Type.CREATE_DELETE_VOLUME"},
	{"enum value renamed", func(f *file) {
		message(f, "ControllerServiceCapability").NestedType[0].EnumType[0].Value[1].Name = proto.String("OURS")
	}, "missing: enum value csi.v1.ControllerServiceCapability.RPC.Type.CREATE_DELETE_VOLUME"},
	{"top-level enum removed", func(f *file) { f.EnumType = f.EnumType[1:] }, "missing: enum csi.v1."},
	{"service removed", func(f *file) { f.Service = f.Service[1:] }, "missing: service csi.v1.Identity"},
	{"method removed", func(f *file) { s := service(f, "Node"); s.Method = s.Method[1:] }, "missing: method csi.v1.Node.NodeStageVolume"},
	{"method input", func(f *file) {
		service(f, "Node").Method[0].InputType = proto.String(".csi.v1.ProbeRequest")
	}, "differs: method csi.v1.Node.NodeStageVolume"},
	{"method output", func(f *file) {
		service(f, "Node").Method[0].OutputType = proto.String(".csi.v1.ProbeResponse")
	}, "differs: method csi.v1.Node.NodeStageVolume"},
	{"method streams", func(f *file) {
		service(f, "SnapshotMetadata").Method[0].ServerStreaming = proto.Bool(false)
	}, "streams=false/true"},
	{"extension renumbered", func(f *file) { f.Extension[0].Number = proto.Int32(2000) }, "differs: extension csi.v1."},
	{"extension removed", func(f *file) { f.Extension = nil }, "missing: extension csi.v1.csi_secret"},
}

func TestEveryKindOfChangeIsReported(t *testing.T) {
	want := FactsOf(protodesc.ToFileDescriptorProto(csi.File_csi_proto))
	for _, mutation := range mutations {
		t.Run(mutation.name, func(t *testing.T) {
			mutant := proto.CloneOf(protodesc.ToFileDescriptorProto(csi.File_csi_proto))
			mutation.mutate(mutant)
			found := strings.Join(Differences(want, FactsOf(mutant)), "\n")
			if !strings.Contains(found, mutation.report) {
				t.Errorf("the report does not say %q:\n%s", mutation.report, found)
			}
		})
	}
}

func TestOrderAndGoPackageDoNotMatter(t *testing.T) {
	original := protodesc.ToFileDescriptorProto(csi.File_csi_proto)
	shuffled := proto.CloneOf(original)
	slices.Reverse(shuffled.MessageType)
	slices.Reverse(shuffled.Service)
	slices.Reverse(message(shuffled, "CreateVolumeRequest").Field)
	shuffled.Options = nil
	if found := Differences(FactsOf(original), FactsOf(shuffled)); found != nil {
		t.Errorf("reported: %s", strings.Join(found, "\n"))
	}
}
