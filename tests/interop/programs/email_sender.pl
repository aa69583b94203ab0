# Perl's Email::Sender with its SMTP transport.
use strict;
use warnings;
use Email::Sender::Simple qw(sendmail);
use Email::Sender::Transport::SMTP;
use Email::Simple;
use Try::Tiny;

my %login = $ENV{SMTP_USER}
  ? (ssl => "starttls", sasl_username => $ENV{SMTP_USER}, sasl_password => $ENV{SMTP_PASSWORD},
     ssl_options => { SSL_ca_file => $ENV{CA_FILE} })
  : ();
my $transport = Email::Sender::Transport::SMTP->new({
    host => "127.0.0.1", port => $ENV{PORT}, helo => "app.example", %login });
open my $file, "<:raw", $ENV{MESSAGE} or die $!;
my $message = do { local $/; <$file> };
try {
    sendmail(Email::Simple->new($message),
        { from => $ENV{SENDER}, to => [split /,/, $ENV{RECIPIENTS}], transport => $transport });
    print "sendmail() returned\n";
} catch {
    my $error = $_;
    if (ref $error && $error->isa("Email::Sender::Failure")) {
        (my $text = $error->message) =~ s/\s*\n/ /g;
        print ref $error, ": $text; code ", $error->code // "none",
            "; recipients ", join(", ", $error->recipients), "\n";
    } else { print "died: $error\n"; }
};
