// Go's net/smtp: SendMail for one message; a Client for several on one connection.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/smtp"
	"os"
	"strconv"
	"strings"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Printf("%T: %v\n", err, err)
		os.Exit(0)
	}
}

func send(client *smtp.Client, recipients []string, message []byte) error {
	if err := client.Mail(os.Getenv("SENDER")); err != nil {
		return err
	}
	for _, address := range recipients {
		if err := client.Rcpt(address); err != nil {
			return err
		}
	}
	writer, err := client.Data()
	if err != nil {
		return err
	}
	if _, err = writer.Write(message); err != nil {
		return err
	}
	return writer.Close()
}

func several(address string, count int, recipients []string, message []byte) {
	client, err := smtp.Dial(address)
	check(err)
	if user := os.Getenv("SMTP_USER"); user != "" {
		pem, err := os.ReadFile(os.Getenv("CA_FILE"))
		check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		check(client.StartTLS(&tls.Config{ServerName: "127.0.0.1", RootCAs: roots}))
		check(client.Auth(smtp.PlainAuth("", user, os.Getenv("SMTP_PASSWORD"), "127.0.0.1")))
	}
	for number := 0; number < count; number++ {
		if number > 0 {
			seconds, _ := strconv.ParseFloat(os.Getenv("PAUSE"), 64)
			time.Sleep(time.Duration(seconds * float64(time.Second)))
		}
		if err := send(client, recipients, message); err != nil {
			fmt.Printf("%T: %v\n", err, err)
		} else {
			fmt.Println("nil")
		}
	}
	client.Quit()
}

func main() {
	address := "127.0.0.1:" + os.Getenv("PORT")
	recipients := strings.Split(os.Getenv("RECIPIENTS"), ",")
	message, err := os.ReadFile(os.Getenv("MESSAGE"))
	check(err)
	count, _ := strconv.Atoi(os.Getenv("COUNT"))
	if count > 1 || os.Getenv("SMTP_USER") != "" {
		several(address, count, recipients, message)
		return
	}
	check(smtp.SendMail(address, nil, os.Getenv("SENDER"), recipients, message))
	fmt.Println("SendMail() returned nil")
}
