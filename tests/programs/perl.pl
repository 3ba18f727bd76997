# Hashes, regular expressions, sorting, sprintf with floating point, modules in C.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use List::Util qw(sum reduce);
use POSIX qw(floor fmod);

my $rounds = shift;
my %seen;
for my $i (1 .. $rounds) {
    my $word = sprintf "%x", ($i * 2654435761) % 4294967296;
    $seen{substr $word, 0, 2} .= $word if $word =~ /^[a-f]\d+[a-f]/;
}
print "$_ ", sha256_hex($seen{$_}), "\n" for sort keys %seen;
printf "%.15g %.15g %d\n", sum(map { sqrt } 1 .. $rounds), fmod($rounds, 7.5), floor(-2.5);
print reduce { $a . ($b % 10) } 1 .. 60;
print "\n";
print STDERR "to standard error\n";
exit 5;
