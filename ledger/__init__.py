"""What can happen and what it means: pure, with no I/O but the store's.

Glossary
--------
account            who is billed.
actor              the principal (person, service, Stripe, scheduler) that did something, and the key it used.
book               one isolated set of books: an organisation in live or in test mode.
cause              the command or message that an event came from.
event              an immutable fact in the past tense; the log holds nothing else.
journal entry      balanced postings for one economic fact.
log                all events of all books in one total order.
meter              what usage is counted by.
position           an event's place in the log, and so a point in history.
posting            an amount on one side (debit or credit) of a ledger account.
projection         a read model that can be thrown away and rebuilt from the log.
stream             the events of one thing, numbered by version.
tracking           how far a projection has read.
upcast             lifting an event of an old class version to the present one while reading.
usage event        an account used a quantity of a meter; each is a stream of its own.
"""
