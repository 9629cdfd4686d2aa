"""Which commit a run was trained with."""

from __future__ import annotations

from sanreid.train.loop.provenance import commit


def test_the_commit_is_read_from_the_checkout(tmp_path):
    repo = tmp_path / "repo"
    git = repo / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit(repo) is None
    (git / "packed-refs").write_text("# pack\n" + "b" * 40 + " refs/heads/main\n")
    assert commit(repo) == "b" * 40
    (git / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    assert commit(repo) == "a" * 40
    (git / "HEAD").write_text("c" * 40 + "\n")
    assert commit(repo) == "c" * 40


def test_the_commit_of_a_further_worktree_and_of_a_copy(tmp_path, monkeypatch):
    own = tmp_path / "repo" / ".git" / "worktrees" / "other"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    (own / "HEAD").write_text("ref: refs/heads/other\n")
    heads = tmp_path / "repo" / ".git" / "refs" / "heads"
    heads.mkdir(parents=True)
    (heads / "other").write_text("d" * 40 + "\n")
    tree = tmp_path / "other"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {own}\n")
    assert commit(tree) == "d" * 40
    copy = tmp_path / "other" / ".venv" / "site-packages"  # of another project
    monkeypatch.delenv("SANREID_COMMIT", raising=False)
    assert commit(copy) is None
    monkeypatch.setenv("SANREID_COMMIT", "e" * 40)
    assert commit(copy) == "e" * 40
    assert commit(tree) == "d" * 40
