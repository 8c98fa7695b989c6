// Where one wanted to go, behind the #, survives the login.
document.forms[0].action += location.hash;
