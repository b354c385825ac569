package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// checked is a flag's value that is judged as it is read, so that a mistake is reported with the flag's name and with what
// would have been right.
type checked[T any] struct {
	value *T
	kind  string // how the help calls the value
	parse func(text string) (T, error)
}

func (c checked[T]) String() string { return fmt.Sprint(*c.value) }

func (c checked[T]) Type() string { return c.kind }

func (c checked[T]) Set(text string) (err error) {
	value, err := c.parse(text)
	if err == nil {
		*c.value = value
	}
	return err
}

func oneOf[T ~string](value *T, choices ...T) pflag.Value {
	return checked[T]{value, "mode", func(text string) (T, error) {
		names := make([]string, len(choices))
		for i, choice := range choices {
			if names[i] = string(choice); text == names[i] {
				return choice, nil
			}
		}
		last := len(names) - 1
		return "", fmt.Errorf("use %s or %s", strings.Join(names[:last], ", "), names[last])
	}}
}

func whole(value *int) pflag.Value {
	return checked[int]{value, "number", func(text string) (int, error) {
		n, err := strconv.ParseUint(text, 10, strconv.IntSize-1)
		if err != nil {
			return 0, errors.New("use a whole number, 0 or more")
		}
		return int(n), nil
	}}
}

func factor(value *float64) pflag.Value {
	return checked[float64]{value, "factor", func(text string) (float64, error) {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n <= 1e6) {
			return 0, errors.New("use a number from 0 (time stands still) to 1000000, such as 60 or 0.5")
		}
		return n, nil
	}}
}

func word(value *string) pflag.Value {
	return checked[string]{value, "text", func(text string) (string, error) {
		switch {
		case text == "":
			return "", errors.New("it must not be empty; is a variable of your shell unset?")
		case strings.ContainsFunc(text, unicode.IsControl):
			return "", errors.New("it must not contain line breaks or other control characters")
		}
		return text, nil
	}}
}

func address(value *string) pflag.Value {
	return checked[string]{value, "host:port", func(text string) (string, error) {
		if strings.Contains(text, "/") {
			return "", errors.New("use a host and a port without http:// or a path, such as 127.0.0.1:5612")
		}
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			if _, notNumber := strconv.ParseUint(text, 10, 16); notNumber == nil {
				return "", fmt.Errorf("use a host and a port, such as 127.0.0.1:%s", text)
			}
			return "", errors.New("use a host and a port, such as 127.0.0.1:5612; port 0 takes a free one")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", errors.New("use a port from 0 to 65535; 0 takes a free one")
		}
		return text, nil
	}}
}

// flagError makes a usage error of a flag that cannot be read, with the flag that was meant if one is near.
func flagError(cmd *cobra.Command, err error) error {
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) {
		// cobra guesses commands only, so the flags dress up as such.
		guess := &cobra.Command{SuggestionsMinimumDistance: 2}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			guess.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		})
		if near := guess.SuggestionsFor(unknown.GetSpecifiedName()); len(near) > 0 {
			return usageError{guessError{err, "--" + near[0]}}
		}
	}
	return usageError{err}
}
