"""What is read of folders and headers, whatever they say."""

from email.header import Header

from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.loopback.finder import FolderKind
from smtpcheck.loopback.imap.folders import Folder, Listed, in_order, trash_of
from smtpcheck.mail.headers import correlation_id_of, read_fields, route_fields

MARK = "sc1abcdefghijklmnopqrstuvwxyz234567"

FLAGS = st.frozensets(
    st.sampled_from(["\\junk", "\\sent", "\\trash", "\\all", "\\noselect", "\\flagged", "\\hasnochildren"]), max_size=3
)
NAMES = st.sampled_from(["INBOX", "Inbox", "Junk", "INBOX.Spam", "Sent Items", "Archive", "a/b", "7"]) | st.text(
    max_size=8
)
LISTED = st.lists(
    st.builds(Listed, NAMES, st.sampled_from(["/", ".", ""]), FLAGS), max_size=12, unique_by=lambda f: f.name
)


def _listed(name: str, *flags: str) -> Listed:
    return Listed(name, "/", frozenset(flags))


@given(LISTED, st.integers(0, 5))
def test_inbox_is_first_and_each_folder_is_searched_once_at_most(listed: list[Listed], most: int) -> None:
    order = in_order(listed, most)
    assert order[0].kind is FolderKind.INBOX
    names = [folder.name for folder in order]
    assert len(names) == len(set(names))
    assert {*names} <= {folder.name for folder in listed} | {"INBOX"}
    assert sum(folder.kind is FolderKind.OTHER for folder in order) <= most
    ranks = [[FolderKind.INBOX, FolderKind.JUNK, FolderKind.SENT, FolderKind.OTHER].index(one.kind) for one in order]
    assert ranks == sorted(ranks)


def test_what_the_server_says_of_a_folder_counts_more_than_its_name() -> None:
    order = in_order([_listed("Spam"), _listed("INBOX"), _listed("Quarantäne", "\\junk")], 5)
    assert order == (
        Folder("INBOX", FolderKind.INBOX),
        Folder("Quarantäne", FolderKind.JUNK),
        Folder("Spam", FolderKind.OTHER),
    )


def test_without_any_word_of_the_server_names_count_in_many_languages() -> None:
    names = ["INBOX/Courrier indésirable", "Gesendete Elemente", "Projekte", "Entwürfe"]
    kinds = {folder.name: folder.kind for folder in in_order([_listed(name) for name in names], 5)}
    assert kinds == {
        "INBOX": FolderKind.INBOX,
        "INBOX/Courrier indésirable": FolderKind.JUNK,
        "Gesendete Elemente": FolderKind.SENT,
        "Projekte": FolderKind.OTHER,
        "Entwürfe": FolderKind.OTHER,
    }


def test_a_view_of_all_mail_comes_last_and_views_of_marked_mail_not_at_all() -> None:
    listed = [_listed("All Mail", "\\all"), _listed("Starred", "\\flagged"), _listed("x"), _listed("Trash", "\\trash")]
    assert [folder.name for folder in in_order(listed, 5)] == ["INBOX", "x", "Trash", "All Mail"]
    assert trash_of(listed) == "Trash"


@given(st.binary(max_size=300))
def test_no_header_makes_the_reading_fail(block: bytes) -> None:
    fields = read_fields(block)
    assert correlation_id_of(fields, lambda _: False) is None
    assert all(sign.isprintable() or sign == "\t" or ord(sign) > 127 for _, value in fields for sign in value)


@given(st.lists(st.sampled_from(["Received: from a\r\n by b;\r\n\tWed", "X-Other: c", "Date: today", "Subject: d"])))
def test_the_fields_of_a_way_are_told_unfolded_and_in_their_order(lines: list[str]) -> None:
    block = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    expected = {"Received": "from a by b;\tWed", "Date": "today"}
    names = [line.partition(":")[0] for line in lines if line.partition(":")[0] in expected]
    assert route_fields(read_fields(block)) == tuple((name, expected[name]) for name in names)


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40),
    st.sampled_from(["us-ascii", "utf-8", "iso-8859-1"]),
)
def test_a_mark_is_read_off_a_subject_in_any_form(prefix: str, charset: str) -> None:
    sound = prefix.encode(charset, "ignore").decode(charset)
    subject = Header(f"{sound} {MARK}", charset, header_name="Subject").encode(linesep="\r\n")
    fields = read_fields(f"Subject: {subject}\r\n\r\n".encode())
    assert correlation_id_of(fields, {MARK}.__contains__) == MARK


def test_a_mark_counts_only_if_it_is_ours() -> None:
    fields = read_fields(f"X-SMTPCHECK-ID: {MARK}\r\nSubject: smtpcheck probe {MARK}\r\n\r\n".encode())
    assert correlation_id_of(fields, {MARK}.__contains__) == MARK
    assert correlation_id_of(fields, lambda _: False) is None
