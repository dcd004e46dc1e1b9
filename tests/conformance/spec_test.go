package conformance

import (
	"os"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The descriptor set with all its imports, as protoc writes it. CSI_DESCRIPTOR_SET names another one.
const committed = "../../rdscsi/csi/pb/csi.binpb"

// ours reads the set, proves that it is complete and consistent, and returns the file that declares csi.v1.
func ours(t *testing.T) *descriptorpb.FileDescriptorProto {
	t.Helper()
	path := os.Getenv("CSI_DESCRIPTOR_SET")
	if path == "" {
		path = committed
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(content, set); err != nil {
		t.Fatalf("%s is no FileDescriptorSet: %v", path, err)
	}
	if _, err := protodesc.NewFiles(set); err != nil {
		t.Fatalf("%s does not link: %v", path, err)
	}
	var found []*descriptorpb.FileDescriptorProto
	for _, candidate := range set.GetFile() {
		if candidate.GetPackage() == string(csi.File_csi_proto.Package()) {
			found = append(found, candidate)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s declares package %s in %d files, not in one", path, csi.File_csi_proto.Package(), len(found))
	}
	return found[0]
}

func TestOurContractIsTheSpecification(t *testing.T) {
	want := FactsOf(protodesc.ToFileDescriptorProto(csi.File_csi_proto))
	got := FactsOf(ours(t))
	found := Differences(want, got)
	for _, difference := range found {
		t.Error(difference)
	}
	if len(found) > 0 {
		t.Fatalf("%d differences", len(found))
	}
	t.Logf("%d facts are equal", len(want))
}
