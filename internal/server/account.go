package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/store"
)

// openAccount returns the directory's account number, making it and the first access key on first use.
func openAccount(ctx context.Context, db *store.DB) (account string, err error) {
	err = db.Update(ctx, func(tx *store.Tx) error {
		if account, err = tx.Setting("account"); err != nil || account != "" {
			return err
		}
		account = randomDigits(12)
		return errors.Join(tx.PutSetting("account", account), tx.PutAccessKey(iam.NewAccessKey("arn:aws:iam::"+account+":user/"+iam.Admin, time.Now())))
	})
	return account, err
}

// randomDigits returns n decimal digits, the first of which is not 0.
func randomDigits(n int64) string {
	low := new(big.Int).Exp(big.NewInt(10), big.NewInt(n-1), nil)
	span := new(big.Int).Mul(low, big.NewInt(9))
	r, err := rand.Int(rand.Reader, span)
	if err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	return r.Add(r, low).String()
}

// lock makes sure that one server at a time works on a directory.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		var pid int
		fmt.Fscan(f, &pid)
		f.Close()
		return nil, moorage.Errorf(moorage.Conflict, "another server (process %d) works on this directory; stop it, or give another --dir", pid)
	}
	err = errors.Join(f.Truncate(0), write(f, fmt.Sprintln(os.Getpid())))
	return func() { f.Close() }, err
}

func write(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}
