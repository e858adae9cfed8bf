package image

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
	"github.com/pelletier/go-toml/v2"
)

// plan is what has to be installed beside the code of a zip.
type plan struct {
	requirements string   // a requirements file; empty for nothing
	local        bool     // it refers to other files of the zip
	noDeps       bool     // the list is complete
	replaced     []string // files of the zip that the installation stands in for
}

func (p plan) empty() bool { return p.requirements == "" }

// id is empty for a plan that changes nothing.
func (p plan) id() string {
	if p.empty() {
		return ""
	}
	raw, err := json.Marshal([]any{p.requirements, p.local, p.noDeps, p.replaced})
	if err != nil {
		panic(err) // strings always encode
	}
	return digestOf(raw)
}

// strip removes what the installation replaces.
func (p plan) strip(task *erofs.Node) {
	t := &tree{root: task}
	for _, name := range p.replaced {
		dir, base := path.Split(name)
		if parent, err := t.lookup(dir, true); err == nil && parent != nil && parent.IsDir() {
			delete(parent.Children, base)
		}
	}
}

// plan reads from the zip what it needs. Packages that lie in it unpacked are taken as they are,
// but for those built for another architecture: AWS's tools always build for arm64, and on
// another machine the same versions are installed anew.
func (p *project) plan() (plan, error) {
	f, err := os.Open(p.code.Zip)
	if err != nil {
		return plan{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return plan{}, err
	}
	z, err := openZip(f, info.Size())
	if err != nil {
		return plan{}, err
	}
	zf := zipFiles{z}
	if !p.language.python() {
		return plan{}, zf.checkNode()
	}
	if dists := zf.distInfos(); len(dists) > 0 {
		return zf.foreign(dists, runtime.GOARCH)
	}
	if text, ok, err := zf.text("requirements.txt"); err != nil || ok {
		return requirements(text), err
	}
	return zf.pyproject()
}

// zipFiles answers questions about a zip before it is unpacked.
type zipFiles struct{ *zip.Reader }

// maxText bounds the files that a plan reads.
const maxText = 4 << 20

func (z zipFiles) text(name string) (string, bool, error) {
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == name && f.Mode().IsRegular() })
	if i < 0 {
		return "", false, nil
	}
	r, err := z.File[i].Open()
	if err != nil {
		return "", false, zipError(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err != nil {
		return "", false, zipError(err)
	}
	if len(raw) > maxText {
		return "", false, moorage.Errorf(moorage.Invalid, "%s is larger than %d MB", name, maxText>>20)
	}
	return string(raw), true, nil
}

var localRequirement = regexp.MustCompile(`(?m)^\s*(-[rcef]\b|--(requirement|constraint|editable|find-links)\b|[./])|@\s*(file:|\.)`)

// requirements plans a requirements file.
func requirements(text string) plan {
	meaningful := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		meaningful = meaningful || line != "" && !strings.HasPrefix(line, "#")
	}
	if !meaningful {
		return plan{}
	}
	return plan{requirements: text, local: localRequirement.MatchString(text)}
}

// pyproject plans the dependencies of pyproject.toml, without building the project itself: an
// agent is run from its source.
func (z zipFiles) pyproject() (plan, error) {
	text, ok, err := z.text("pyproject.toml")
	if err != nil || !ok {
		return plan{}, err
	}
	var file struct {
		Project *struct {
			Dependencies []string `toml:"dependencies"`
			Dynamic      []string `toml:"dynamic"`
		} `toml:"project"`
	}
	if err := toml.Unmarshal([]byte(text), &file); err != nil {
		return plan{}, &moorage.Error{Code: moorage.Invalid, Message: "pyproject.toml: " + err.Error(), Err: err}
	}
	if file.Project == nil {
		return plan{}, nil // tool settings only
	}
	if slices.Contains(file.Project.Dynamic, "dependencies") {
		return plan{}, moorage.Errorf(moorage.Invalid, "pyproject.toml computes its dependencies; list them in it or in requirements.txt")
	}
	p := requirements(strings.Join(file.Project.Dependencies, "\n"))
	p.local = false // PEP 508 has no relative paths
	return p, nil
}

// distInfos returns the metadata directories of the packages at the top of the zip.
func (z zipFiles) distInfos() (out []string) {
	for _, f := range z.File {
		if dir, rest, ok := strings.Cut(f.Name, "/"); ok && rest == "METADATA" && strings.HasSuffix(dir, ".dist-info") {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

// foreign plans the packages that were built for another architecture.
func (z zipFiles) foreign(dists []string, arch string) (p plan, err error) {
	for _, dir := range dists {
		wheel, _, err := z.text(dir + "/WHEEL")
		if err != nil {
			return p, err
		}
		if !builtForOther(wheel, arch) {
			continue
		}
		requirement, files, err := z.dist(dir)
		if err != nil {
			return p, err
		}
		p.requirements += requirement + "\n"
		p.replaced = append(p.replaced, files...)
	}
	p.noDeps = true
	return p, nil
}

// machines are the names of architectures in wheel tags. Source: PEP 425, platform tags of Linux.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// builtForOther reports whether no tag of a WHEEL file fits the architecture.
func builtForOther(wheel, arch string) bool {
	other := false
	for line := range strings.Lines(wheel) {
		tag, ok := strings.CutPrefix(strings.TrimSpace(line), "Tag:")
		if !ok {
			continue
		}
		if strings.HasSuffix(tag, "-any") || strings.Contains(tag, machines[arch]) {
			return false
		}
		other = true
	}
	return other
}

var packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
var packageVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._!+-]*$`)

// dist returns a package as a requirement, and the files that belong to it.
func (z zipFiles) dist(dir string) (requirement string, files []string, err error) {
	metadata, _, err := z.text(dir + "/METADATA")
	if err != nil {
		return "", nil, err
	}
	name, version := header(metadata, "Name"), header(metadata, "Version")
	if !packageName.MatchString(name) || !packageVersion.MatchString(version) {
		return "", nil, moorage.Errorf(moorage.Invalid, "%s/METADATA names no package and version", dir)
	}
	record, ok, err := z.text(dir + "/RECORD")
	if err != nil {
		return "", nil, err
	}
	if !ok {
		return "", nil, moorage.Errorf(moorage.Invalid, "%s is built for another architecture, and %s/RECORD does not say which files it is", name, dir)
	}
	r := csv.NewReader(strings.NewReader(record))
	r.FieldsPerRecord = -1
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return name + "==" + version, files, nil
		}
		if err != nil {
			return "", nil, &moorage.Error{Code: moorage.Invalid, Message: dir + "/RECORD is not a list of files", Err: err}
		}
		if fs.ValidPath(row[0]) {
			files = append(files, "/"+row[0])
		}
	}
}

// header returns a field of a metadata file's head. Source: Python core metadata.
func header(text, key string) string {
	s := bufio.NewScanner(bytes.NewReader([]byte(text)))
	for s.Scan() && s.Text() != "" {
		if v, ok := strings.CutPrefix(s.Text(), key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// checkNode refuses code whose packages are not in the zip.
func (z zipFiles) checkNode() error {
	text, ok, err := z.text("package.json")
	if err != nil || !ok {
		return err
	}
	var file struct {
		Dependencies map[string]any `json:"dependencies"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return &moorage.Error{Code: moorage.Invalid, Message: "package.json: " + err.Error(), Err: err}
	}
	bundled := slices.ContainsFunc(z.File, func(f *zip.File) bool { return strings.HasPrefix(f.Name, "node_modules/") })
	if len(file.Dependencies) > 0 && !bundled {
		return moorage.Errorf(moorage.Unsupported, "package.json has dependencies and the zip has no node_modules; run npm install --omit=dev before zipping")
	}
	return nil
}
