# Perl's Net::SMTP: each call's result and message. Recipients are given with SkipBad.
use strict;
use warnings;
use Net::SMTP;

my $smtp = Net::SMTP->new("127.0.0.1", Port => $ENV{PORT}, Hello => "app.example", Timeout => 60);
unless ($smtp) {
    print "new() returned undef: $@\n";
    exit;
}
if ($ENV{SMTP_USER}) {
    $smtp->starttls(SSL_ca_file => $ENV{CA_FILE}) or die "starttls: " . $smtp->message;
    $smtp->auth($ENV{SMTP_USER}, $ENV{SMTP_PASSWORD}) or die "auth: " . $smtp->message;
}
open my $file, "<:raw", $ENV{MESSAGE} or die $!;
my $message = do { local $/; <$file> };

sub told {
    my ($call, $result) = @_;
    (my $text = $smtp->message) =~ s/\s*\n/ /g;
    print "$call failed: ", $smtp->code, " $text\n" unless $result;
    return $result;
}

for my $number (1 .. $ENV{COUNT}) {
    select undef, undef, undef, $ENV{PAUSE} if $number > 1;
    told("mail()", $smtp->mail($ENV{SENDER}, Bits => "8")) or next;
    my @taken = $smtp->to(split(/,/, $ENV{RECIPIENTS}), { SkipBad => 1 });
    print "to() returned (@taken)\n";
    unless (@taken) { told("to()", 0); $smtp->reset; next; }
    told("data()", $smtp->data($message)) and print "data() returned true\n";
}
$smtp->quit;
