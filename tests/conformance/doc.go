// Package conformance holds rdscsi's wire contract against the community's own: the descriptor set that
// proto/generate.py makes must say exactly what the Go package of the CSI specification says.
//
// facts.go lists what a descriptor says and compares two such lists; facts_test.go shows that no kind of change
// escapes it; spec_test.go compares the real ones. The module also pins csi-sanity (see "tool" in go.mod).
package conformance
